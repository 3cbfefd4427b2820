// The grammars of one engine: compiled when first asked for, then kept, the least used forgotten; and so are those that
// cannot be compiled. Its vocabulary is made with the first of them. Any thread; compiling is slow (up to half a
// second, milliseconds as a rule), so not on the engine's own.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
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
  static constexpr size_t kRefusalsMax = 32;

  /// The tokenizer may be null: then there are no grammars.
  Shelf(std::shared_ptr<const Tokenizer> tokenizer, std::vector<TokenId> stops, int32_t vocab_size);

  /// Errors: bad_request, from compile(), for a source over kSourceBytesMax, or for a tokenizer whose texts are not the
  /// bytes of its tokens.
  Result<std::shared_ptr<const Grammar>> get(const Source& source);

 private:
  template <class T>
  using Kept = std::list<std::pair<std::string, T>>;  // by key, the last used first

  template <class T>
  static const T* find(Kept<T>& kept, const std::string& key);
  std::optional<Result<std::shared_ptr<const Grammar>>> known(const std::string& key, const std::string& places);
  std::shared_ptr<const Vocabulary> vocabulary();

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::vector<TokenId> stops_;
  const int32_t vocab_size_;
  std::mutex vocabulary_mutex_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;
  Kept<std::shared_ptr<const Grammar>> grammars_;
  Kept<Error> refusals_;  // by key and places, which they name
};

}  // namespace weir::engine::grammar
