// The grammars of one engine: compiled when first asked for, then kept, the least used forgotten. Its vocabulary is
// made with the first of them. Any thread; compiling is slow (up to a second, milliseconds as a rule), so not on the
// engine's own.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "config/base/result.h"
#include "engine/grammar/compile.h"

namespace weir::engine {
class Tokenizer;
}

namespace weir::engine::grammar {

/// Of a source's schemas, pattern and choices together.
inline constexpr size_t kSourceBytesMax = 512 * 1024;

class Shelf {
 public:
  static constexpr size_t kGrammarsMax = 32;

  /// The tokenizer may be null: then there are no grammars.
  Shelf(std::shared_ptr<const Tokenizer> tokenizer, std::vector<TokenId> stops, int32_t vocab_size);

  /// Errors: bad_request, from compile(), for a source over kSourceBytesMax, or for a tokenizer whose texts are not the
  /// bytes of its tokens.
  Result<std::shared_ptr<const Grammar>> get(const Source& source);

 private:
  std::shared_ptr<const Vocabulary> vocabulary();

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::vector<TokenId> stops_;
  const int32_t vocab_size_;
  std::mutex vocabulary_mutex_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<const Grammar>>> grammars_;  // by key, the last used first
};

}  // namespace weir::engine::grammar
