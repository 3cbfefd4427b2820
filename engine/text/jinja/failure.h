// How a template fails. Inside this folder a failure is a C++ exception, because it can start in any of some two
// hundred built-ins, deep in an expression; parse() and render() of chat_template.cpp catch every one, so none leaves
// the folder. `type` is the name of the exception that Python's Jinja2 raises in the same place. Values.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace weir::engine::jinja {

/// Place in the source of a template, both counted from 1; line 0 is "unknown".
struct Position {
  uint32_t line = 0;
  uint32_t column = 0;
};

struct Failure {
  enum class Kind : uint8_t {
    syntax,   // the template cannot be parsed
    raised,   // the template called raise_exception
    runtime,  // the template does not fit its input
    limit,    // one of Limits was exceeded
  };
  Kind kind = Kind::runtime;
  std::string type;     // "TypeError", "UndefinedError", …
  std::string message;  // Python's words
  Position at = {};
};

[[noreturn]] inline void fail(std::string type, std::string message) {
  throw Failure{Failure::Kind::runtime, std::move(type), std::move(message), {}};
}

[[noreturn]] inline void fail_type(std::string message) {
  fail("TypeError", std::move(message));
}

[[noreturn]] inline void fail_limit(std::string message) {
  throw Failure{Failure::Kind::limit, "LimitError", std::move(message), {}};
}

}  // namespace weir::engine::jinja
