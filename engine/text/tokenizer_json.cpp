#include "engine/text/tokenizer_json.h"

#include "engine/text/json_fields.h"

namespace weir::engine::text {
namespace {

using nlohmann::json;

/// nlohmann's event interface. Two places of the document (model.vocab as an object, model.merges as an array) are
/// captured; everything else is put into a tree. A mistake is kept in `failure` and stops the parser.
class Reader {
 public:
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  explicit Reader(bool capture) : capture_(capture) {}

  LoadFailure failure;
  TokenizerJson file;

  bool null() { return scalar(json()); }
  bool boolean(bool value) { return scalar(value); }
  bool number_integer(number_integer_t value) { return scalar(value); }
  bool number_float(number_float_t value, const string_t&) { return scalar(value); }
  bool binary(binary_t&) { return fail("", "holds binary data"); }

  bool number_unsigned(number_unsigned_t value) {
    if (mode_ != Mode::vocab) return scalar(value);
    if (value > static_cast<uint64_t>(kTokenIdMax)) {
      return fail(vocab_path(), "must be at most " + std::to_string(kTokenIdMax) + ", is " + std::to_string(value));
    }
    file.vocab.push_back({token_, static_cast<int32_t>(value)});
    return true;
  }

  bool string(string_t& value) {
    switch (mode_) {
      case Mode::merges:
        return merge_text(value);
      case Mode::merge_pair:
        if (pair_count_ < 2) pair_[pair_count_] = keep(file.merge_bytes, value);
        ++pair_count_;
        return true;
      default:
        return scalar(std::move(value));
    }
  }

  bool key(string_t& value) {
    if (mode_ == Mode::vocab) {
      token_ = keep(file.vocab_bytes, value);
    } else {
      key_ = std::move(value);
    }
    return true;
  }

  bool start_object(size_t) {
    if (capture_ && mode_ == Mode::tree && in_model() && key_ == "vocab") {
      mode_ = Mode::vocab;
      return file.has_vocab = true;
    }
    return open(json::object());
  }

  bool end_object() {
    if (mode_ == Mode::vocab) {
      mode_ = Mode::tree;
      return true;
    }
    return close();
  }

  bool start_array(size_t) {
    if (capture_ && mode_ == Mode::tree && in_model() && key_ == "merges") {
      mode_ = Mode::merges;
      return file.has_merges = true;
    }
    if (mode_ == Mode::merges) {
      mode_ = Mode::merge_pair;
      pair_count_ = 0;
      return true;
    }
    return open(json::array());
  }

  bool end_array() {
    if (mode_ == Mode::merge_pair) {
      mode_ = Mode::merges;
      if (pair_count_ != 2) return fail(merge_path(), "must be two tokens");
      return merge(pair_[0], pair_[1]);
    }
    if (mode_ == Mode::merges) {
      mode_ = Mode::tree;
      return true;
    }
    return close();
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // The parser's own words without its number: "[json.exception.parse_error.101] parse error at line 1, …".
    const std::string_view what = error.what();
    const size_t end_of_name = what.find("] ");
    return fail("", "is not JSON at byte " + std::to_string(position) + ": " +
                        std::string(end_of_name == what.npos ? what : what.substr(end_of_name + 2)).substr(0, 300));
  }

 private:
  enum class Mode { tree, vocab, merges, merge_pair };

  bool fail(std::string path, std::string what) {
    failure = {std::move(path), std::move(what)};
    return false;
  }

  std::string vocab_path() const { return "model.vocab[\"" + std::string(file.token(token_)).substr(0, 64) + "\"]"; }
  std::string merge_path() const { return "model.merges[" + std::to_string(file.merges.size()) + "]"; }
  bool in_model() const { return open_.size() == 2 && open_[0]->is_object() && model_open_; }

  static TokenizerJson::Slice keep(std::string& bytes, std::string_view text) {
    const TokenizerJson::Slice slice{static_cast<uint32_t>(bytes.size()), static_cast<uint32_t>(text.size())};
    bytes.append(text);
    return slice;
  }

  bool merge(TokenizerJson::Slice left, TokenizerJson::Slice right) {
    if (file.merges.size() >= kMergesMax) return fail(merge_path(), "is one merge too many");
    file.merges.emplace_back(left, right);
    return true;
  }

  /// "left right": exactly one space. A "#version" line is what old converters left in.
  bool merge_text(std::string_view text) {
    if (text.starts_with("#version")) return true;
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      return fail(merge_path(), "must be two tokens with one space between");
    }
    const auto left = keep(file.merge_bytes, text.substr(0, space));
    return merge(left, keep(file.merge_bytes, text.substr(space + 1)));
  }

  json* put(json&& value) {
    if (open_.empty()) {
      file.rest = std::move(value);
      return &file.rest;
    }
    json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }

  bool scalar(json value) {
    if (mode_ == Mode::vocab) return fail(vocab_path(), "must be a whole number of at least 0");
    if (mode_ != Mode::tree) return fail(merge_path(), "must be a string or two strings");
    put(std::move(value));
    return true;
  }

  bool open(json value) {
    if (mode_ != Mode::tree) return scalar(std::move(value));
    if (open_.size() >= kJsonDepthMax) return fail("", "is nested deeper than " + std::to_string(kJsonDepthMax));
    if (open_.size() == 1) model_open_ = value.is_object() && key_ == "model";
    open_.push_back(put(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  bool capture_;
  Mode mode_ = Mode::tree;
  std::vector<json*> open_;  // the containers around the parser; each the last child of the one before
  bool model_open_ = false;  // open_[1] is the member "model"
  std::string key_;
  TokenizerJson::Slice token_;
  TokenizerJson::Slice pair_[2];
  size_t pair_count_ = 0;
};

TokenizerJson read(std::string_view text, bool capture) {
  if (text.size() > kTokenizerBytesMax) {
    throw LoadFailure{"", "is larger than " + std::to_string(kTokenizerBytesMax) + " bytes"};
  }
  Reader reader(capture);
  if (!json::sax_parse(text.begin(), text.end(), &reader)) throw std::move(reader.failure);
  if (!reader.file.rest.is_object()) throw LoadFailure{"", "must be a JSON object"};
  return std::move(reader.file);
}

}  // namespace

TokenizerJson read_tokenizer_json(std::string_view text) {
  return read(text, true);
}

nlohmann::json read_small_json(std::string_view text) {
  return std::move(read(text, false).rest);
}

}  // namespace weir::engine::text
