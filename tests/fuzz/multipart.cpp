// multipart/form-data: the marks of a form lie in its bytes, and the first line of the input is its content type.
#include "providers/body.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

void run(std::string_view input) {
  const size_t line = input.find('\n');
  const std::string type(input.substr(0, line));
  const std::string body(line == std::string_view::npos ? std::string_view() : input.substr(line + 1));
  auto marked = providers::mark_multipart_call(providers::Protocol::openai_transcriptions, type, body);
  if (!marked) return check(!marked.error().detail.empty(), "a refusal says why");
  const auto range = marked->model_value;
  check(range.begin <= range.end && range.end <= body.size(), "the model is in the form");
  check(body.substr(range.begin, range.end - range.begin) == marked->model, "the model is where it stands");
}

}  // namespace

const Target kMultipart{
    "multipart",
    run,
    {"multipart/form-data; boundary=b\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nw-1\r\n--b\r\n"
     "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: "
     "audio/wav\r\n\r\nRIFF\r\n--b\r\n"
     "Content-Disposition: form-data; name=\"stream\"\r\n\r\nTrue\r\n--b--\r\n",
     "multipart/form-data; boundary=\"b c\"\npre\r\n--b c "
     "\t\r\ncontent-disposition:form-data;name=model\r\n\r\nm\r\n--b c--"}};

}  // namespace weir::fuzz
