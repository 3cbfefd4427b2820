// The bytes of one row in a journal: a fixed part and its texts, eight-byte aligned, with a check over everything that
// binds the record to its journal and its place in it. So neither a half-written record, nor one left from the ring's
// last turn, nor one of another journal is ever taken for a row. Pure; the layout is in README.md of this folder.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gateway/accounting/row.h"

namespace weir::gateway {

/// Layout, native byte order (a journal never leaves its machine).
struct RecordHeader {
  uint32_t size = 0;   // of the whole record, this header included; a multiple of 8
  uint32_t kind = 3;   // 3: a request; 2: one before tiers were named and searches counted; 1: before cache writes, too
  uint64_t check = 0;  // over generation, position, size, kind and all bytes after this header
};
struct RecordFixed {
  int64_t settled_us = 0;  // since the Unix epoch
  int64_t charge_nanos = 0;
  int64_t total_us = 0;
  int64_t first_token_us = 0;
  int64_t input = 0;
  int64_t cached_input = 0;
  int64_t output = 0;
  int64_t reasoning = 0;
  int32_t status = 0;
  int32_t attempts = 0;
  uint16_t flags = 0;           // kFlag…
  uint16_t text_bytes[7] = {};  // request_id, key, team, model, target, upstream_model, error_code
};
/// Follows RecordFixed in a record of kind 2 and 3.
struct RecordParts {
  int64_t cache_write_5m = 0;
  int64_t cache_write_1h = 0;
  int64_t audio_input = 0;
  int64_t audio_output = 0;
};
/// Follows RecordParts in a record of kind 3. The texts come last.
struct RecordService {
  int64_t web_searches = 0;
  uint16_t tier_bytes = 0;  // the eighth text
  uint16_t zeros[3] = {};
};
static_assert(sizeof(RecordHeader) == 16 && sizeof(RecordFixed) == 88 && sizeof(RecordParts) == 32 &&
              sizeof(RecordService) == 16);

inline constexpr uint16_t kFlagEstimated = 1;
inline constexpr uint16_t kFlagStream = 2;
inline constexpr uint16_t kFlagCancelled = 4;
inline constexpr uint16_t kFlagFallback = 8;
inline constexpr uint16_t kFlagUnpriced = 16;
/// The flags of a row, as journal and store keep them.
inline uint16_t flags_of(const LedgerRow& row) {
  return static_cast<uint16_t>((row.estimated ? kFlagEstimated : 0) | (row.stream ? kFlagStream : 0) |
                               (row.cancelled ? kFlagCancelled : 0) | (row.fallback ? kFlagFallback : 0) |
                               (row.unpriced ? kFlagUnpriced : 0));
}
inline constexpr uint32_t kRecordKind = 3;
inline constexpr uint32_t kRecordKindWithoutService = 2;
inline constexpr uint32_t kRecordKindWithoutParts = 1;
inline constexpr uint32_t kRecordFixedBytes =
    sizeof(RecordHeader) + sizeof(RecordFixed) + sizeof(RecordParts) + sizeof(RecordService);
/// The most that any record may take: eight texts of 8 KiB each would be a mistake of a config, not a name.
inline constexpr uint32_t kRecordBytesMax = 32 * 1024;

/// Where a record stands: journals are told apart by a random generation, places by bytes since it was made.
struct RecordPlace {
  uint64_t generation = 0;
  uint64_t position = 0;
};

/// Writes the row at `out` (8-aligned, room for `bytes_max` ≥ kRecordFixedBytes) and returns its size. Texts that do
/// not fit are cut, the longest first.
uint32_t encode(std::byte* out, uint32_t bytes_max, const LedgerRow& row, RecordPlace place);

/// Reads the record at `in`, of any kind, of which `bytes` may be read. 0: there is no whole record of this place;
/// else its size, and `row` holds views into `in`.
uint32_t decode(const std::byte* in, uint64_t bytes, RecordPlace place, LedgerRow& row);

}  // namespace weir::gateway
