// multipart/form-data calls (RFC 7578 over RFC 2046 §5.1): the parts' heads are read, the files are passed over. Strict
// where two readers could see different fields: one boundary, each part named, no field of ours twice.
#include <algorithm>
#include <cctype>

#include "providers/body.h"
#include "providers/recording.h"

namespace weir::providers {
namespace {

constexpr size_t kBoundaryBytesMax = 70;  // RFC 2046 §5.1.1
constexpr size_t kPartsMax = 256;
constexpr size_t kHeadBytesMax = 16 * 1024;
constexpr size_t kNameBytesMax = 256;
constexpr size_t kModelBytesMax = 1024;

Error bad(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "request", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](unsigned char x, unsigned char y) {
           return std::tolower(x) == std::tolower(y);
         });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// One parameter of a header value: name, and the value with its quotes and backslashes taken away. False: malformed.
bool next_parameter(std::string_view& rest, std::string_view& name, std::string& value) {
  rest.remove_prefix(1);  // the ';'
  const size_t equals = rest.find('=');
  if (equals == std::string_view::npos) return false;
  name = trimmed(rest.substr(0, equals));
  rest.remove_prefix(equals + 1);
  rest = trimmed(rest);
  value.clear();
  if (rest.empty() || rest.front() != '"') {
    const size_t end = rest.find(';');
    value = trimmed(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
    return !value.empty();
  }
  size_t at = 1;
  for (; at < rest.size() && rest[at] != '"'; ++at) {
    if (rest[at] == '\\' && at + 1 < rest.size()) ++at;
    value.push_back(rest[at]);
  }
  if (at >= rest.size()) return false;  // never closed
  rest = trimmed(rest.substr(at + 1));
  return rest.empty() || rest.front() == ';';
}

/// The value of a parameter of "type/subtype; a=b; c=d". Errors where it is malformed or there twice.
Result<std::optional<std::string>> parameter(std::string_view header, std::string_view wanted) {
  std::optional<std::string> found;
  const size_t first = header.find(';');
  std::string_view rest = first == std::string_view::npos ? std::string_view() : header.substr(first);
  std::string_view name;
  std::string value;
  while (!rest.empty()) {
    if (trimmed(rest) == ";") break;
    if (!next_parameter(rest, name, value)) return bad("", "a header of the form is malformed");
    // RFC 2231's forms of it ("name*", "name*0") some readers take and some do not; RFC 7578 section 4.2 forbids them.
    // What clients do say is "filename*", which decides nothing.
    const size_t star = name.find('*');
    if (star != std::string_view::npos && wanted != "filename" && equal_ignoring_case(name.substr(0, star), wanted))
      return bad("", "a header of the form says " + std::string(name) + "; write it as " + std::string(wanted));
    if (!equal_ignoring_case(name, wanted)) continue;
    if (found) return bad("", "a header of the form says " + std::string(wanted) + " twice");
    found = value;
  }
  return found;
}

bool is_boundary(std::string_view text) {
  constexpr std::string_view kMarks = "'()+_,-./:=? ";
  return !text.empty() && text.size() <= kBoundaryBytesMax && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(), [&](unsigned char c) {
           return std::isalnum(c) != 0 || kMarks.find(static_cast<char>(c)) != std::string_view::npos;
         });
}

/// One pass over the body.
class FormMarker {
 public:
  FormMarker(Protocol protocol, std::string_view content_type, std::string_view body) : text_(body) {
    out_.protocol = protocol;
    out_.json = body;
    out_.content_type = content_type;
  }
  Result<CallBody> run();

 private:
  Result<bool> next_part(std::string_view& head, std::string_view& content);
  Result<void> part(std::string_view head, std::string_view content);
  Result<void> field(const std::string& name, std::string_view content);
  ByteRange range(std::string_view piece) const {
    const auto begin = static_cast<uint32_t>(piece.data() - text_.data());
    return {begin, begin + static_cast<uint32_t>(piece.size())};
  }

  std::string_view text_;
  size_t at_ = 0;  // behind the last delimiter
  std::string delimiter_;
  CallBody out_;
  bool model_ = false;
  bool stream_ = false;
  bool file_ = false;
};

/// The part behind `at_`; false: the closing delimiter stood there.
Result<bool> FormMarker::next_part(std::string_view& head, std::string_view& content) {
  std::string_view rest = text_.substr(at_);
  if (rest.starts_with("--")) return false;
  const size_t line = rest.find("\r\n");
  if (line == std::string_view::npos || !trimmed(rest.substr(0, line)).empty())
    return bad("", "the form has a boundary that is followed by other text");
  rest.remove_prefix(line + 2);
  // A part without headers has no name; so its head is never empty.
  const size_t end = rest.substr(0, kHeadBytesMax).find("\r\n\r\n");
  if (end == std::string_view::npos) return bad("", "a part of the form has no end of its headers within 16 KiB");
  head = rest.substr(0, end);
  rest.remove_prefix(end + 4);
  // An empty part's delimiter shares its CRLF with the end of the head.
  const size_t from = static_cast<size_t>(rest.data() - text_.data()) - 2;
  const size_t close = text_.find(delimiter_, from);
  if (close == std::string_view::npos) return bad("", "the form ends without its closing boundary");
  const size_t begin = from + 2;
  content = close > begin ? text_.substr(begin, close - begin) : text_.substr(begin, 0);
  at_ = close + delimiter_.size();
  return true;
}

Result<void> FormMarker::field(const std::string& name, std::string_view content) {
  if (name == "model") {
    if (model_) return bad("model", "model: is there twice");
    if (content.empty() || content.size() > kModelBytesMax ||
        std::any_of(content.begin(), content.end(), [](unsigned char c) { return c < ' ' || c == 127; }))
      return bad("model", "model: must be one line of at most 1024 bytes");
    model_ = true;
    out_.model = std::string(content);
    out_.model_value = range(content);
  } else if (name == "stream") {
    if (stream_) return bad("stream", "stream: is there twice");
    const bool yes = equal_ignoring_case(content, "true") || content == "1";
    if (!yes && !content.empty() && !equal_ignoring_case(content, "false") && content != "0")
      return bad("stream", "stream: must be true or false");
    stream_ = true;
    out_.stream = yes;
  }
  return {};
}

Result<void> FormMarker::part(std::string_view head, std::string_view content) {
  std::optional<std::string> name;
  std::optional<std::string> file;
  bool disposed = false;
  while (!head.empty()) {
    const size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head = end == std::string_view::npos ? std::string_view() : head.substr(end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad("", "a part of the form has a line that is no header");
    if (!equal_ignoring_case(line.substr(0, colon), "content-disposition")) continue;
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (disposed || !equal_ignoring_case(trimmed(value.substr(0, value.find(';'))), "form-data"))
      return bad("", "a part of the form must have one Content-Disposition: form-data");
    disposed = true;
    auto given = parameter(value, "name");
    if (!given) return std::move(given).error();
    name = std::move(*given);
    auto called = parameter(value, "filename");
    if (!called) return std::move(called).error();
    file = std::move(*called);
  }
  if (!name || name->empty() || name->size() > kNameBytesMax)
    return bad("", "a part of the form has no name of at most 256 bytes");
  if (*name == "file") {
    file_ = true;
    out_.units += seconds_of_recording(content);
    return {};
  }
  if (file && (*name == "model" || *name == "stream")) return bad(*name, *name + ": must be a field, is a file");
  return field(*name, content);
}

Result<CallBody> FormMarker::run() {
  if (text_.size() >= UINT32_MAX) return bad("", "the request body is over 4 GiB");
  const std::string_view type = trimmed(out_.content_type.substr(0, out_.content_type.find(';')));
  if (!equal_ignoring_case(type, "multipart/form-data")) return bad("", "the Content-Type must be multipart/form-data");
  auto boundary = parameter(out_.content_type, "boundary");
  if (!boundary) return std::move(boundary).error();
  if (!*boundary || !is_boundary(**boundary))
    return bad("", "the Content-Type must say a boundary of 1 to 70 characters (RFC 2046)");
  delimiter_ = "\r\n--" + **boundary;
  // What stands before the first delimiter is a preamble and says nothing.
  const std::string_view first = std::string_view(delimiter_).substr(2);
  if (text_.starts_with(first)) {
    at_ = first.size();
  } else {
    const size_t opening = text_.find(delimiter_);
    if (opening == std::string_view::npos) return bad("", "the form does not have its boundary");
    at_ = opening + delimiter_.size();
  }
  std::string_view head;
  std::string_view content;
  for (size_t parts = 0;; ++parts) {
    if (parts > kPartsMax) return bad("", "the form has more than 256 parts");
    auto more = next_part(head, content);
    if (!more) return std::move(more).error();
    if (!*more) break;
    if (auto read = part(head, content); !read) return std::move(read).error();
  }
  if (!model_) return bad("model", "model: is missing");
  if (!file_) return bad("file", "file: is missing");
  return std::move(out_);
}

}  // namespace

Result<CallBody> mark_multipart_call(Protocol protocol, std::string_view content_type, std::string_view body) {
  return FormMarker(protocol, content_type, body).run();
}

}  // namespace weir::providers
