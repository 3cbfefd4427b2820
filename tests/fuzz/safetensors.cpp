// A safetensors file: read or refused, and the tensors of what is read lie in the file. Also once with the length of
// its header made right.
#include "engine/model/safetensors.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

void read(const std::string& bytes) {
  const auto file = engine::read_safetensors({"m.safetensors", bytes, nullptr});
  if (!file) return check(!file.error().detail.empty(), "a refusal says why");
  for (const auto& [name, tensor] : file->tensors) {
    check(
        tensor.bytes.data() >= bytes.data() && tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size(),
        "a tensor in its file");
    check(tensor.shape.size() <= engine::kTensorDimensionsMax, "bounded dimensions");
    engine::shape_text(tensor.shape);
  }
}

void run(std::string_view input) {
  read(std::string(input));
  // The input is a header, and a word of data for each of its closing braces.
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(input.size() >> (8 * i) & 0xff));
  bytes += input;
  for (const char c : input)
    if (c == '}') bytes += "0123";
  read(bytes.substr(0, bytes.size() - std::min<size_t>(4, bytes.size())));
}

}  // namespace

const Target kSafetensors{
    "safetensors",
    run,
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
     R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}     )",
     std::string("\x02\0\0\0\0\0\0\0{}", 10)}};

}  // namespace weir::fuzz
