#include "engine/model/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/model/model_error.h"

namespace weir::engine {
namespace {

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<uint64_t> offsets;  // begin, end within the data
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
};

/// Walks the header's JSON as events, so that no depth and no repeated key can surprise, and memory stays within what
/// the entries need.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<Entry> entries;
  std::string problem;
  std::string where;  // the tensor at fault

  bool start_object(std::size_t) override {
    if (depth_ == 0) return enter(State::names);
    if (state_ == State::value_of_name) return enter(in_metadata_ ? State::metadata : State::fields);
    return fail("an object where none belongs");
  }

  bool key(string_t& text) override {
    if (state_ == State::names) {
      in_metadata_ = text == "__metadata__";
      if (!in_metadata_) {
        entries.emplace_back();
        entries.back().name = text;
      }
      where = text.substr(0, 200);
      state_ = State::value_of_name;
    } else if (state_ == State::fields) {
      return field(text);
    }
    return true;
  }

  bool end_object() override {
    --depth_;
    if (state_ == State::fields) {
      const Entry& entry = entries.back();
      if (!entry.has_dtype || !entry.has_shape || !entry.has_offsets) {
        return fail("must have dtype, shape and data_offsets");
      }
    }
    state_ = State::names;
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::value_of_shape) return enter(State::shape);
    if (state_ == State::value_of_offsets) return enter(State::offsets);
    return fail("a list where none belongs");
  }

  bool end_array() override {
    --depth_;
    if (state_ == State::offsets && entries.back().offsets.size() != 2) return fail("data_offsets must be two numbers");
    state_ = State::fields;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::shape) {
      if (value > static_cast<uint64_t>(INT64_MAX)) return fail("a dimension is too large");
      if (entries.back().shape.size() == kTensorDimensionsMax) return fail("has too many dimensions");
      entries.back().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ == State::offsets) {
      if (entries.back().offsets.size() == 2) return fail("data_offsets must be two numbers");
      entries.back().offsets.push_back(value);
      return true;
    }
    return fail("a number where none belongs");
  }

  bool string(string_t& text) override {
    if (state_ == State::metadata) return true;
    if (state_ != State::value_of_dtype) return fail("a text where none belongs");
    entries.back().dtype = text.substr(0, 32);
    state_ = State::fields;
    return true;
  }

  bool null() override { return fail("null where none belongs"); }
  bool boolean(bool) override { return fail("true or false where none belongs"); }
  bool number_integer(number_integer_t) override { return fail("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return fail("a fraction where none belongs"); }
  bool binary(binary_t&) override { return fail("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    where.clear();
    return fail("the header is not valid JSON at its byte " + std::to_string(position));
  }

 private:
  enum class State {
    begin,
    names,
    value_of_name,
    metadata,
    fields,
    value_of_dtype,
    value_of_shape,
    value_of_offsets,
    shape,
    offsets
  };

  bool enter(State state) {
    ++depth_;
    state_ = state;
    return true;
  }

  bool field(const std::string& text) {
    Entry& entry = entries.back();
    const auto take = [&](bool& seen, State next) {
      if (seen) return fail("'" + text + "' appears twice");
      seen = true;
      state_ = next;
      return true;
    };
    if (text == "dtype") return take(entry.has_dtype, State::value_of_dtype);
    if (text == "shape") return take(entry.has_shape, State::value_of_shape);
    if (text == "data_offsets") return take(entry.has_offsets, State::value_of_offsets);
    return fail("unknown field '" + text.substr(0, 40) + "'");
  }

  bool fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }

  State state_ = State::begin;
  int depth_ = 0;
  bool in_metadata_ = false;
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

/// What is wrong with the entry alone, if anything.
std::optional<std::string> check_entry(const Entry& entry, uint64_t data_bytes) {
  const uint64_t element = stored_element_bytes(entry.dtype);
  if (element == 0) return "unknown dtype '" + entry.dtype + "'";
  const uint64_t begin = entry.offsets[0];
  const uint64_t end = entry.offsets[1];
  if (begin > end || end > data_bytes) {
    return "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "] do not lie in the file's " +
           std::to_string(data_bytes) + " bytes of data";
  }
  uint64_t bytes = element;
  for (const int64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension), &bytes)) return "its shape is too large";
  }
  if (bytes != end - begin) {
    return "shape " + shape_text(entry.shape) + " of " + entry.dtype + " needs " + std::to_string(bytes) +
           " bytes, its data_offsets hold " + std::to_string(end - begin);
  }
  return std::nullopt;
}

}  // namespace

uint64_t stored_element_bytes(std::string_view dtype) {
  static constexpr std::pair<std::string_view, uint64_t> kTypes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  for (const auto& [name, bytes] : kTypes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  text += "]";
  return text;
}

Result<SafetensorsFile> read_safetensors(FileBytes file) {
  if (file.bytes.size() < 8) return model_error(file.path, "", "too short to be a safetensors file");
  const uint64_t header_bytes = little_endian(file.bytes);
  if (header_bytes > kSafetensorsHeaderBytesMax) {
    return model_error(file.path, "", "header of " + std::to_string(header_bytes) + " bytes; not a safetensors file?");
  }
  if (header_bytes > file.bytes.size() - 8) return model_error(file.path, "", "ends within its header");
  const std::string_view header = file.bytes.substr(8, header_bytes);
  const std::string_view data = file.bytes.substr(8 + header_bytes);
  if (header.empty() || header.front() != '{') return model_error(file.path, "", "the header must begin with '{'");

  HeaderHandler handler;
  if (!nlohmann::json::sax_parse(header, &handler) || !handler.problem.empty()) {
    return model_error(file.path, handler.where, handler.problem.empty() ? "bad header" : handler.problem);
  }
  for (const Entry& entry : handler.entries) {
    if (const auto problem = check_entry(entry, data.size())) return model_error(file.path, entry.name, *problem);
  }
  std::sort(handler.entries.begin(), handler.entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.offsets[0], a.offsets[1]) < std::tie(b.offsets[0], b.offsets[1]);
  });
  uint64_t covered = 0;
  SafetensorsFile result;
  for (Entry& entry : handler.entries) {
    if (entry.offsets[0] != covered) {
      return model_error(file.path, entry.name,
                         entry.offsets[0] < covered ? "overlaps another tensor" : "leaves a hole before it");
    }
    covered = entry.offsets[1];
    StoredTensor tensor{std::move(entry.dtype), std::move(entry.shape),
                        data.substr(entry.offsets[0], entry.offsets[1] - entry.offsets[0])};
    if (!result.tensors.emplace(entry.name, std::move(tensor)).second) {
      return model_error(file.path, entry.name, "appears twice");
    }
  }
  if (covered != data.size()) {
    return model_error(file.path, "", std::to_string(data.size() - covered) + " bytes behind the last tensor");
  }
  result.file = std::move(file);
  return result;
}

}  // namespace weir::engine
