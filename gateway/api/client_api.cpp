#include "gateway/api/client_api.h"

#include <cassert>

#include "gateway/api/gemini_generate.h"
#include "gateway/api/openai_chat.h"

namespace weir::gateway {

const ClientApi& client_api(providers::Protocol protocol) {
  using providers::Protocol;
  switch (protocol) {
    case Protocol::openai_chat:
      return openai_chat_api();
    case Protocol::gemini_generate:
      return gemini_generate_api();
    default:
      assert(false && "a protocol without a route");
      return openai_chat_api();
  }
}

void append_usage_with_cost(std::string_view event, uint32_t usage_object, bool usage_empty, NanoUsd cost,
                            std::string& out) {
  out.append(event.substr(0, usage_object)).append(R"("cost_usd":)").append(to_decimal_usd(cost));
  if (!usage_empty) out.push_back(',');
  out.append(event.substr(usage_object));
}

}  // namespace weir::gateway
