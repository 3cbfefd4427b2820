// How long a recording is, by its own bytes, where no answer tells it. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::providers {

/// Seconds, rounded up: a WAV file's by the form of its samples, or at its byte rate where it is compressed
/// (http://soundfile.sapp.org/doc/WaveFormat); an Ogg file's by its Opus packets (RFC 6716, RFC 7845) or the positions
/// of its pages (RFC 3533, https://xiph.org/vorbis/doc/Vorbis_I_spec.html section 4.2.2); any other's at 64 kbit/s.
/// What a decoder does not go by is believed only as far as it makes the recording longer.
uint64_t seconds_of_recording(std::string_view file);

}  // namespace weir::providers
