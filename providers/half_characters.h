// A character whose halves come in two events of a stream, as servers send one that cut their text at bytes or at
// UTF-16 units: the first half waits for the second, so that a client of another protocol sees the character and not
// two U+FFFD. One for each stream that is decoded into events; what passes as it came needs none.
#pragma once

#include <string>
#include <string_view>

namespace weir::providers {

class HalfCharacters {
 public:
  /// A piece of a text, the inside of a JSON string as written: with the half that waits, without the one it ends with.
  /// Where its other half does not come, U+FFFD takes a half's place. Valid until the next call.
  std::string_view inside(std::string_view piece);
  /// The same for the JSON text of an event, whichever of its strings ends or begins with half a character; as it is
  /// where none does. The waiting half stays where none begins with the other, until one ends with the next: then
  /// U+FFFD takes its place there. Valid until the next call.
  std::string_view data(std::string_view json);
  /// A half waits for the other. Until it has come, every event is to be read with data(), so that it does not hang on
  /// how the stream arrives what becomes of it.
  bool waits() const { return !half_.empty(); }

 private:
  std::string half_;  // as written: bytes, or an escape
  std::string joined_;
};

}  // namespace weir::providers
