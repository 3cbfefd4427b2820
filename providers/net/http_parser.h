// The head of an HTTP/1.x message, parsed out of a flat buffer, and the chunked coding taken off a body. Pure: bytes
// in, views out; nothing is allocated in steady state. Strict where two parsers could disagree, because that is what
// request smuggling lives on (RFC 9112 sections 2.2, 5.1, 5.2, 6.1, 6.3). Boost.Beast's parser would add a quarter to
// the instructions of a proxied request; it serves as the oracle of our tests instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace weir::providers {

struct Field {
  std::string_view name;
  std::string_view value;  // without surrounding whitespace
};

/// ASCII case-insensitive equality.
bool iequals(std::string_view a, std::string_view b);

/// The first field of that name, case-insensitive.
std::optional<std::string_view> find_field(const std::vector<Field>& fields, std::string_view name);

/// Why a message was refused and with what status a server answers it.
struct ParseFailure {
  int status = 400;
  const char* code = "invalid_request_error";
  const char* message = "";
};

/// The views are into the bytes given to the last parse(), or to rebase().
struct MessageHead {
  std::string_view method;  // requests
  std::string_view target;  // requests
  int status = 0;           // responses
  int version = 11;         // 10 or 11
  std::vector<Field> fields;
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;        // by version and Connection
  bool expect_continue = false;  // requests of 1.1
  size_t bytes = 0;              // of the whole head, its empty line included
};

class HeadParser {
 public:
  enum class Kind { request, response };
  enum class Status { need_more, done, failed };

  explicit HeadParser(Kind kind) : kind_(kind) {}

  /// Parses the message that begins at bytes[0]; call again with the same bytes and more of them (they may have moved)
  /// until it is not need_more. At most bytes_max bytes of head: more fail with 431.
  Status parse(std::string_view bytes, uint64_t bytes_max);
  const MessageHead& head() const { return head_; }         // REQUIRES: done
  const ParseFailure& failure() const { return failure_; }  // REQUIRES: failed
  bool started() const { return base_ != nullptr; }         // a byte of a message was seen
  /// The message's bytes moved to `bytes`: so do the views. REQUIRES: done.
  void rebase(const char* bytes);
  /// Ready for the next message; keeps its memory.
  void reset();

 private:
  Status fail(int status, const char* code, const char* message);
  Status start_line(std::string_view line);  // of these, need_more is fine
  Status field(std::string_view line);
  Status content_length(std::string_view value);
  Status connection(std::string_view value);
  Status finish();

  const Kind kind_;
  MessageHead head_;
  ParseFailure failure_;
  const char* base_ = nullptr;  // what the views point into
  size_t line_ = 0;             // where the line being read begins
  size_t scanned_ = 0;          // no line end before it
  int hosts_ = 0;
  bool start_line_done_ = false;
  bool close_ = false;
  bool authorized_ = false;
  bool keep_ = false;
};

/// Removes the chunked transfer coding (RFC 9112 section 7.1), strictly: CRLF only, sizes of at most 15 hex digits, at
/// most kExtensionBytesMax bytes of chunk extensions more than twice the data and 16 bytes a chunk, and
/// kTrailerBytesMax of trailer a message. Trailers are dropped.
class ChunkDecoder {
 public:
  static constexpr uint32_t kExtensionBytesMax = 4096;
  static constexpr uint32_t kTrailerBytesMax = 16 * 1024;
  enum class Status { need_more, data, done, failed };

  /// Looks at the front of `in`. data: `data` is a piece of the body inside `in`. In every case the first `consumed`
  /// bytes of `in` are dealt with and must not be given again.
  Status next(std::string_view in, size_t& consumed, std::string_view& data);
  /// Bytes of the present chunk that are still to come, as far as its size was read.
  uint64_t announced() const { return left_; }

 private:
  enum class State : uint8_t {
    size_first,
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,
    trailer,
    trailer_lf,
    end_lf,
    done,
    failed
  };
  State step(char c);

  State state_ = State::size_first;
  uint8_t digits_ = 0;
  uint32_t extension_bytes_ = 0;
  uint32_t trailer_bytes_ = 0;
  uint64_t left_ = 0;  // of the current chunk
};

}  // namespace weir::providers
