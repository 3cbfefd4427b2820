// Takes an account's credentials out of what its upstream says: some repeat the key, the URL or the headers of a call
// in their errors, and those texts reach our clients. Immutable after construction.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "config/config.h"
#include "providers/provider.h"

namespace weir::providers {

class SecretMask {
 public:
  /// The account's key, its secrets (of a credentials file the secrets in it too) and its access key id.
  explicit SecretMask(const config::AccountConfig& account);

  /// Every credential in `text` becomes "***", also where it is percent-encoded or written with JSON's escapes, in part
  /// or as a whole, and where it is cut off by the text's end behind its eighth byte. Credentials of fewer than eight
  /// bytes ("none", "EMPTY") count only where they stand as a word, those of fewer than three never. `token`: another
  /// credential; empty: none. True: there was one.
  bool hide(std::string& text, std::string_view token = {}) const;
  /// The same for the texts of an error.
  void hide(Error& error, std::string_view token = {}) const;
  /// The same for an error event that passes as the upstream wrote it, and for the batch's own error. A masked event's
  /// bytes are in `storage`, which outlives the batch.
  void hide(ReplyBatch& batch, std::string_view token, std::string& storage) const;

 private:
  std::vector<Secret> secrets_;
};

}  // namespace weir::providers
