#include "providers/recording.h"

#include <algorithm>

namespace weir::providers {
namespace {

constexpr uint64_t kUsualBytesASecond = 8'000;
constexpr uint64_t kLeastBytesASecond = 2'000;  // of what cannot be read: speech well compressed

uint64_t number_at(std::string_view bytes, size_t at, size_t size) {
  uint64_t number = 0;
  for (size_t i = size; i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

uint64_t wav_bytes_a_second(std::string_view file) {
  constexpr uint64_t kExtensible = 0xFFFE;
  uint64_t form = number_at(file, 20, 2);
  if (form == kExtensible && file.size() >= 46) form = number_at(file, 44, 2);
  const bool by_sample = form == 1 || form == 3 || form == 6 || form == 7;  // integers, floats, A-law, µ-law
  if (!by_sample) return std::clamp<uint64_t>(number_at(file, 28, 4), 500, kUsualBytesASecond);
  const uint64_t rate = number_at(file, 24, 4) * number_at(file, 22, 2) * number_at(file, 34, 2) / 8;
  return rate >= 2'000 && rate <= 1'536'000 ? rate : kUsualBytesASecond;
}

/// At 48 kHz. `packet` begins with its first byte (RFC 6716 section 3.1), which says the frames' size and their number.
uint64_t opus_samples(std::string_view packet) {
  if (packet.empty()) return 0;
  const auto first = static_cast<unsigned char>(packet.front());
  const unsigned config = first >> 3U;
  constexpr uint64_t kSilk[] = {480, 960, 1920, 2880};
  constexpr uint64_t kCelt[] = {120, 240, 480, 960};
  const uint64_t frame = config < 12 ? kSilk[config & 3U] : config < 16 ? kSilk[config & 1U] : kCelt[config & 3U];
  const unsigned code = first & 3U;
  if (code < 3) return code == 0 ? frame : 2 * frame;
  return packet.size() < 2 ? 0 : frame * (static_cast<unsigned char>(packet[1]) & 63U);
}

class OggReader {
 public:
  explicit OggReader(std::string_view file) : file_(file) {}
  uint64_t seconds();

 private:
  static constexpr size_t kHeadBytes = 27;
  bool page();
  void packet(std::string_view bytes);

  std::string_view file_;
  size_t at_ = 0;
  size_t packets_ = 0;   // that began
  bool within_ = false;  // the last page ended within a packet
  bool opus_ = false;
  uint64_t samples_ = 0;   // of Opus
  uint64_t rate_ = 0;      // of Vorbis
  uint64_t position_ = 0;  // the furthest of any page
};

void OggReader::packet(std::string_view bytes) {
  ++packets_;
  if (packets_ == 1 && bytes.starts_with("OpusHead")) opus_ = true;
  if (packets_ == 1 && bytes.starts_with("\x01vorbis") && bytes.size() >= 16) rate_ = number_at(bytes, 12, 4);
  if (opus_ && packets_ > 2) samples_ += opus_samples(bytes);  // behind head and tags
}

/// False: here stands none.
bool OggReader::page() {
  const std::string_view rest = file_.substr(at_);
  if (rest.size() < kHeadBytes || !rest.starts_with("OggS")) return false;
  const auto lacings = static_cast<unsigned char>(rest[kHeadBytes - 1]);
  if (rest.size() < kHeadBytes + lacings) return false;
  const uint64_t position = number_at(rest, 6, 8);
  if (position < UINT64_MAX / 2) position_ = std::max(position_, position);  // -1: no packet ends here
  size_t from = kHeadBytes + lacings;
  for (size_t i = 0; i < lacings; ++i) {
    const auto size = static_cast<unsigned char>(rest[kHeadBytes + i]);
    if (!within_) packet(rest.substr(std::min(from, rest.size()), size));
    within_ = size == 255;
    from += size;
  }
  at_ += std::min(from, rest.size());
  return true;
}

uint64_t OggReader::seconds() {
  while (page()) {
  }
  const uint64_t unread = (file_.size() - at_) / kLeastBytesASecond;
  if (opus_) return samples_ / 48'000 + unread + 1;
  if (rate_ == 0) return file_.size() / kLeastBytesASecond + 1;
  const uint64_t told = std::min<uint64_t>(position_ / rate_, file_.size());
  return std::max(told + unread, file_.size() / kUsualBytesASecond) + 1;
}

}  // namespace

uint64_t seconds_of_recording(std::string_view file) {
  if (file.starts_with("OggS")) return OggReader(file).seconds();
  const bool wav = file.size() >= 44 && file.starts_with("RIFF") && file.substr(8, 8) == "WAVEfmt ";
  return file.size() / (wav ? wav_bytes_a_second(file) : kUsualBytesASecond) + 1;
}

}  // namespace weir::providers
