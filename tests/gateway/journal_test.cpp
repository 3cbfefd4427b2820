#include "gateway/accounting/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "config/base/rng.h"
#include "tests/gateway/ledger_support.h"

namespace weir::gateway {
namespace {

using testing::HasSubstr;

TEST(Record, RoundTrip) {
  alignas(8) std::byte bytes[1024];
  const LedgerRow row = sample_row(7);
  const RecordPlace place{123, 456};
  const uint32_t size = encode(bytes, sizeof bytes, row, place);
  EXPECT_EQ(size % 8, 0u);
  LedgerRow back;
  ASSERT_EQ(decode(bytes, size, place, back), size);
  EXPECT_EQ(describe(back), describe(row));
  EXPECT_EQ(decode(bytes, size - 1, place, back), 0u);
  EXPECT_EQ(decode(bytes, size, {123, 457}, back), 0u);
  EXPECT_EQ(decode(bytes, size, {124, 456}, back), 0u);
}

/// Bytes that Weir wrote before cache writes and audio were counted: generation 7, position 64.
constexpr std::string_view kKind1 =
    "88000000010000005236e8896c3d2f0300401e18240a06004d000000000000008813000000000000bc02000000000000e80300000000000090"
    "01"
    "0000000000002c010000000000003200000000000000c800000001000000020005000500000006000800060000007265712d31616c70686167"
    "70"
    "742d346f612f6770742d346f6770742d346f0000";

/// And before tiers were named and searches counted.
constexpr std::string_view kKind2 =
    "a80000000200000088c10ec23096102a00401e18240a06004d000000000000008813000000000000bc02000000000000e803000000000000"
    "90010000000000002c010000000000003200000000000000c800000001000000020005000500000006000800060000000100000000000000"
    "0200000000000000030000000000000004000000000000007265712d31616c7068616770742d346f612f6770742d346f6770742d346f0000";

/// The bytes of a record, and its row as a text.
std::string read_kind(std::string_view hex, std::byte (&bytes)[1024]) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes[i / 2] = static_cast<std::byte>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  LedgerRow row;
  EXPECT_EQ(decode(bytes, sizeof bytes, {7, 64}, row), hex.size() / 2);
  return describe(row);
}

TEST(Record, OfTheEarlierKindsAreRead) {
  alignas(8) std::byte bytes[1024] = {};
  EXPECT_EQ(read_kind(kKind1, bytes),
            "1700000000000000|req-1|alpha||gpt-4o|a/gpt-4o|gpt-4o|||1000|400|300|50|0|0|0|0|0|77|200|1|5000|"
            "700|0|1|0|0|0");
  LedgerRow row;
  bytes[4] = std::byte{2};  // its kind is a part of what is checked
  EXPECT_EQ(decode(bytes, sizeof bytes, {7, 64}, row), 0U);
  alignas(8) std::byte later[1024] = {};
  EXPECT_EQ(read_kind(kKind2, later),
            "1700000000000000|req-1|alpha||gpt-4o|a/gpt-4o|gpt-4o|||1000|400|300|50|1|2|3|4|0|77|200|1|5000|"
            "700|0|1|0|0|0");
}

TEST(Record, AnyFlippedBitIsFound) {
  alignas(8) std::byte bytes[1024];
  const RecordPlace place{99, 8};
  const uint32_t size = encode(bytes, sizeof bytes, sample_row(1), place);
  LedgerRow back;
  for (uint32_t bit = 0; bit < size * 8; ++bit) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_EQ(decode(bytes, sizeof bytes, place, back), 0u) << "bit " << bit;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  EXPECT_EQ(decode(bytes, size, place, back), size);
}

TEST(Record, AnyTornTailIsFound) {
  alignas(8) std::byte bytes[1024];
  const RecordPlace place{99, 8};
  const uint32_t size = encode(bytes, sizeof bytes, sample_row(1), place);
  LedgerRow back;
  for (uint32_t kept = 0; kept < size; kept += 8) {
    alignas(8) std::byte torn[1024] = {};
    std::memcpy(torn, bytes, kept);
    // The last words may be zero in truth (padding): then nothing is torn.
    if (std::memcmp(torn, bytes, size) == 0) continue;
    ASSERT_EQ(decode(torn, sizeof torn, place, back), 0u) << kept;
  }
}

TEST(Record, GarbageIsNoRecord) {
  Rng rng(4);
  alignas(8) std::byte bytes[512];
  LedgerRow back;
  for (int i = 0; i < 20'000; ++i) {
    for (size_t at = 0; at < sizeof bytes; at += 8) {
      const uint64_t word = rng.next();
      std::memcpy(bytes + at, &word, 8);
    }
    const auto size = static_cast<uint32_t>(rng.below(70) * 8);
    std::memcpy(bytes, &size, 4);
    const uint32_t kind = 1;
    std::memcpy(bytes + 4, &kind, 4);
    ASSERT_EQ(decode(bytes, rng.below(sizeof bytes + 1), {1, 2}, back), 0u);
  }
}

TEST(Record, TextsAreCutToFitNumbersNever) {
  alignas(8) std::byte bytes[512];
  LedgerRow row = sample_row(3);
  const std::string huge(100'000, 'x');
  const std::string umlauts = [] {
    std::string s;
    for (int i = 0; i < 300; ++i) s += "ü";
    return s;
  }();
  row.target = huge;
  row.upstream_model = umlauts;
  row.error_code = huge;
  row.tokens.input = INT64_MAX;
  row.tokens.output = -4;
  LedgerRow back;
  for (const uint32_t room : {kRecordFixedBytes, kRecordFixedBytes + 8, 200u, 333u, 512u}) {
    const uint32_t size = encode(bytes, room, row, {1, 1});
    ASSERT_LE(size, room);
    ASSERT_EQ(decode(bytes, size, {1, 1}, back), size);
    EXPECT_EQ(back.charge, row.charge);
    EXPECT_LE(back.error_code.size(), kErrorCodeBytesMax);
    EXPECT_EQ(back.upstream_model.size() % 2, 0u);
    EXPECT_EQ(back.tokens.input, 1'000'000'000'000);
    EXPECT_EQ(back.tokens.output, 0);
  }
  EXPECT_EQ(back.key, row.key);
}

class JournalTest : public LedgerFolder {
 protected:
  std::unique_ptr<Journal> make(uint64_t capacity = 4096) {
    auto journal = Journal::create(file("j"), 3, capacity);
    EXPECT_TRUE(journal.ok()) << (journal.ok() ? "" : journal.error().detail);
    return std::move(*journal);
  }
};

TEST_F(JournalTest, FillsTurnsAndWraps) {
  auto journal = make();
  LedgerRow back;
  uint64_t read = 0;
  int written = 0;
  int seen = 0;
  for (int turn = 0; turn < 200; ++turn) {
    while (journal->reserve(512)) {
      journal->append(sample_row(written), 512);
      ++written;
    }
    EXPECT_FALSE(journal->reserve(512));  // full, and says so
    // Read some, not all: the positions drift over the end of the ring.
    for (int i = 0; i < 1 + turn % 7 && read < journal->head(); ++i) {
      const uint32_t size = journal->read(read, journal->head(), back);
      ASSERT_GT(size, 0u);
      ASSERT_EQ(describe(back), describe(sample_row(seen)));
      read += size;
      ++seen;
    }
    journal->release(read);
  }
  EXPECT_GT(journal->head(), 20 * journal->capacity());
  EXPECT_GT(seen, 500);
  EXPECT_EQ(journal->appended_rows(), static_cast<uint64_t>(written));
}

TEST_F(JournalTest, ReservationsCount) {
  auto journal = make();
  int reserved = 0;
  while (journal->reserve(512)) ++reserved;
  EXPECT_EQ(reserved, 8);
  journal->unreserve(512);
  EXPECT_TRUE(journal->reserve(512));
  for (int i = 0; i < reserved; ++i) journal->append(sample_row(i), 512);  // every one has its room
  LedgerRow back;
  uint64_t read = 0;
  for (int i = 0; i < reserved; ++i) {
    const uint32_t size = journal->read(read, journal->head(), back);
    ASSERT_GT(size, 0u);
    read += size;
  }
}

TEST_F(JournalTest, OpensWhatAnotherLeft) {
  uint64_t generation = 0;
  {
    auto journal = make();
    generation = journal->generation();
    ASSERT_TRUE(journal->reserve(512));
    journal->append(sample_row(1), 512);
  }
  auto again = Journal::open(file("j"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->generation(), generation);
  EXPECT_EQ((*again)->ring(), 3u);
  LedgerRow back;
  EXPECT_GT((*again)->read(0, 4096, back), 0u);
  EXPECT_EQ(describe(back), describe(sample_row(1)));
  EXPECT_NE(make()->generation(), generation);
}

TEST_F(JournalTest, RefusesWhatIsNoJournal) {
  EXPECT_FALSE(Journal::open(file("absent")).ok());
  for (const std::string& content :
       {std::string(), std::string("hello"), std::string(8192, '\0'), std::string(4096 + 5000, 'x')}) {
    std::ofstream(file("bad"), std::ios::binary | std::ios::trunc) << content;
    auto opened = Journal::open(file("bad"));
    ASSERT_FALSE(opened.ok());
    EXPECT_THAT(opened.error().detail, HasSubstr("not a journal"));
  }
  auto nowhere = Journal::create("/nonexistent/folder/j", 0, 4096);
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.error().detail, HasSubstr("/nonexistent/folder/j"));
}

TEST_F(JournalTest, OneProducerOneConsumer) {
  constexpr int kRows = 20'000;
  auto journal = make(16'384);
  std::thread consumer([&] {
    LedgerRow back;
    uint64_t read = 0;
    for (int seen = 0; seen < kRows;) {
      const uint64_t head = journal->head();
      if (read == head) std::this_thread::yield();
      while (read < head) {
        const uint32_t size = journal->read(read, head, back);
        ASSERT_GT(size, 0u);
        ASSERT_EQ(back.charge.nanos, sample_row(seen).charge.nanos);
        read += size;
        ++seen;
      }
      journal->release(read);
    }
  });
  for (int i = 0; i < kRows; ++i) {
    while (!journal->reserve(512)) std::this_thread::yield();
    journal->append(sample_row(i), 512);
  }
  consumer.join();
}

}  // namespace
}  // namespace weir::gateway
