#include "gateway/api/errors.h"

#include "config/base/json.h"

#include "providers/json_text.h"

namespace weir::gateway {
namespace {

std::string_view type_of(const Error& error) {
  if (error.code == "insufficient_quota" || error.code == kUpstreamQuota) return "insufficient_quota";
  switch (error.http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 502:
      return "upstream_error";
    case 503:
      return "service_unavailable_error";
    case 504:
      return "timeout_error";
    default:
      return error.http_status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

std::string error_body(const Error& error) {
  using Tree = nlohmann::ordered_json;
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Tree(nullptr) : Tree(text); };
  const Tree body = {{"error",
                      {{"message", error.detail},
                       {"type", type_of(error)},
                       {"param", text_or_null(error.param)},
                       {"code", text_or_null(error.code)}}}};
  return providers::json_text(body);
}

Error for_client(Error error) {
  switch (error.kind) {
    case ErrorKind::timeout:
      error.http_status = 504;
      error.code = "upstream_timeout";
      break;
    case ErrorKind::context_length:
      error.http_status = 400;
      error.code = "context_length_exceeded";
      break;
    case ErrorKind::content_policy:
      error.http_status = 400;
      error.code = "content_filter";
      break;
    case ErrorKind::connection:
      error.http_status = 502;
      error.code = "upstream_error";
      break;
    case ErrorKind::quota:
      if (error.source != "upstream") break;  // a budget of ours
      error.detail =
          "the gateway's own account at the upstream has used up its quota or credit; this is no budget of your key's: "
          "tell those who run the gateway";
      error.http_status = 429;
      error.code = kUpstreamQuota;
      break;
    default:
      // An error of our own engine or of a decoder carries CONTRACT's code already; an upstream's own code is text
      // that a client could mistake for ours.
      if (error.source == "upstream") {
        // The credential is the gateway's and none of the client's business, and some upstreams repeat it.
        if (error.kind == ErrorKind::authentication) {
          error.detail = "the upstream refused the gateway's own credential with status " +
                         std::to_string(error.http_status) + "; tell those who run the gateway";
          error.http_status = 401;
        }
        if (error.kind == ErrorKind::rate_limit && error.limit != RateLimit::unknown && error.param.empty())
          error.param = to_string(error.limit);
        // Whatever status it came with, and be it within a stream: clients wait and ask again by this one.
        if (error.kind == ErrorKind::rate_limit)
          error.http_status = 429;
        else if (error.http_status < 400 || error.http_status >= 500)
          error.http_status = 502;
        error.code = "upstream_error";
      }
  }
  return error;
}

Error bad_request(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "request", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

Error wrong_type(const std::string& param, std::string_view expected, const nlohmann::ordered_json& value) {
  using Type = nlohmann::ordered_json::value_t;
  std::string detail = param + ": must be " + std::string(expected);
  switch (value.type()) {
    case Type::object:
      detail += ", is an object";
      break;
    case Type::array:
      detail += ", is an array";
      break;
    case Type::string:
      detail += ", is a string";
      break;
    case Type::boolean:
      detail += ", is a boolean";
      break;
    case Type::number_integer:
    case Type::number_unsigned:
      detail += ", is a number";
      break;
    case Type::number_float:
      detail += expected == "an integer" ? ", is " + value.dump() : ", is a number";
      break;
    default:
      break;
  }
  return bad_request(param, std::move(detail));
}

Error not_found(std::string detail) {
  return {ErrorKind::not_found, "gateway", Retry::no, 404, std::move(detail), "not_found"};
}

Error upstream_timeout(std::string detail) {
  return {ErrorKind::timeout, "gateway", Retry::other_target, 504, std::move(detail), "upstream_timeout"};
}

Error answer_too_large(uint64_t bytes_max) {
  return {ErrorKind::too_large,
          "upstream",
          Retry::no,
          502,
          "the answer is longer than " + std::to_string(bytes_max) + " bytes (server.limits.response)",
          "upstream_error"};
}

}  // namespace weir::gateway
