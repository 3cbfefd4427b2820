#include "gateway/accounting/transcription.h"

namespace weir::gateway {
namespace {

void count_made_as_priced(const config::Price& price, providers::Usage& usage) {
  const providers::Made& made = *usage.made;
  const bool by_unit = is_priced_by_unit(price);
  if (by_unit != made.in_tokens) return;
  if (by_unit && price.input.picos == 0) return;
  usage.counts = by_unit ? config::TokenCounts{.input = made.units} : made.tokens;
  usage.reported = by_unit && usage.reported;
}

}  // namespace

void count_as_priced(const config::Price& price, providers::Usage& usage) {
  if (usage.made) return count_made_as_priced(price, usage);
  if (!usage.heard) return;
  const providers::Heard& heard = *usage.heard;
  const bool by_second = is_priced_by_second(price);
  if (by_second != heard.in_tokens) return;         // it is counted as it is priced
  if (by_second && price.input.picos == 0) return;  // free, or unknown: as it was told
  if (by_second) {
    usage.counts = {.input = heard.seconds};
    usage.reported = heard.told;
    return;
  }
  const int64_t audio = heard.seconds * kAudioTokensASecond;
  usage.counts = {.input = audio, .output = heard.text_tokens};
  usage.counts.audio_input = audio;
  usage.reported = false;
}

}  // namespace weir::gateway
