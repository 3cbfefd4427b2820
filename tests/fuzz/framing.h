// Messages of the binary event stream for targets: framed, and with checksums made right, since no fuzzer guesses them.
#pragma once

#include <string>
#include <string_view>

namespace weir::fuzz {

/// One message with this event type (an exception where the name ends so) and JSON payload.
std::string framed(std::string_view type, std::string_view payload);

/// `bytes` with both checksums of every message made right, as far as the lengths make sense.
std::string with_checksums(std::string_view bytes);

}  // namespace weir::fuzz
