// What OpenAI's client protocols have in common: reading a body's fields one by one with the first mistake kept
// (completions, Responses), the sampling fields, and a few pieces of their answers. Pure; values of one request.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/base/money.h"
#include "config/base/result.h"
#include "providers/chat.h"

namespace weir::gateway {

inline constexpr size_t kToolsMax = 1024;

/// Reads the fields of one JSON object. A field that is absent or null leaves its output as it is.
class FieldReader {
 public:
  explicit FieldReader(const providers::Json& body) : body_(body) {}

  const providers::Json& body() const { return body_; }
  /// Keeps the first mistake: "PARAM: must be EXPECTED".
  void fail(const std::string& param, std::string_view expected);
  void fail(Error error);
  bool failed() const { return error_.has_value(); }
  /// REQUIRES: failed().
  Error take_error() { return std::move(*error_); }

  /// The member, or null where it is absent or null.
  static const providers::Json* find(const providers::Json& object, const char* key);
  const providers::Json* find(const char* key) const { return find(body_, key); }
  /// The text of a member of `object`, which stands at `where` ("" at the top).
  std::string text(const providers::Json& object, const char* key, const std::string& where);
  std::string text(const char* key) { return text(body_, key, ""); }
  void number(const char* key, double least, double most, std::optional<double>& out);
  void integer(const char* key, int64_t least, int64_t most, std::optional<int64_t>& out);
  void boolean(const char* key, bool& out);

 private:
  const providers::Json& body_;
  std::optional<Error> error_;
};

/// temperature, top_p, penalties, seed, stop, logit_bias, and what local servers add: top_k, min_p,
/// repetition_penalty, ignore_eos, chat_template_kwargs.
void read_sampling(FieldReader& reader, providers::ChatRequest& out);

/// Puts every field into `extensions` that is neither one of `known` nor read by read_sampling.
void keep_extensions(const FieldReader& reader, std::span<const std::string_view> known, providers::ChatRequest& out);

/// [1,2,…] of the raw bytes.
providers::Json bytes_json(const std::string& bytes);
/// `object` (JSON text of an object with members) with "cost_usd" added at its end, exact.
std::string with_cost(std::string object, NanoUsd cost);
/// Unicode code points, as Python counts: offsets of citations and tokens.
int64_t code_points(std::string_view utf8);
/// What follows the first '-' or '_' of a request's id.
std::string_view id_tail(std::string_view request_id);

}  // namespace weir::gateway
