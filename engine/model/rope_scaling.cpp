#include "engine/model/rope_scaling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

namespace weir::engine {
namespace {

using Kind = RopeScaling::Kind;

constexpr int64_t kTrainedMax = 1 << 28;
constexpr double kFactorMax = 1e6;

constexpr std::array<std::pair<std::string_view, Kind>, 7> kKinds{{{"default", Kind::none},
                                                                   {"linear", Kind::linear},
                                                                   {"dynamic", Kind::dynamic},
                                                                   {"llama3", Kind::llama3},
                                                                   {"yarn", Kind::yarn},
                                                                   {"longrope", Kind::longrope},
                                                                   {"su", Kind::longrope}}};  // longrope's first name

/// "finetuned" is a remark of old YaRN configurations and changes nothing.
constexpr std::array<std::string_view, 17> kKnownKeys = {"rope_type",        "type",
                                                         "rope_theta",       "partial_rotary_factor",
                                                         "factor",           "original_max_position_embeddings",
                                                         "attention_factor", "beta_fast",
                                                         "beta_slow",        "mscale",
                                                         "mscale_all_dim",   "truncate",
                                                         "short_factor",     "long_factor",
                                                         "low_freq_factor",  "high_freq_factor",
                                                         "finetuned"};

Kind read_kind(JsonFields& inner) {
  const std::string type = inner.text_or("rope_type", inner.text_or("type", "default"));
  for (const auto& [name, kind] : kKinds) {
    if (name != type) continue;
    // Phi-3's first configurations say "yarn" and mean longrope.
    return kind == Kind::yarn && inner.find("short_factor") != nullptr ? Kind::longrope : kind;
  }
  inner.fail("rope_type", "'" + type.substr(0, 80) +
                              "' is not supported; known are default, linear, dynamic, llama3, yarn and longrope");
  return Kind::none;
}

void read_width(JsonFields& fields, JsonFields& inner, int64_t head_dim, RopeScaling& scaling) {
  JsonFields& source = inner.find("partial_rotary_factor") != nullptr ? inner : fields;
  const double part = source.number_or("partial_rotary_factor", 0.0, 1.0, 1.0);
  scaling.width = static_cast<int64_t>(static_cast<double>(head_dim) * part);
  if (scaling.width < 2 || scaling.width % 2 != 0) {
    source.fail("partial_rotary_factor", "must leave an even number of a head's " + std::to_string(head_dim) +
                                             " to turn, leaves " + std::to_string(scaling.width));
  }
}

/// Phi-3 keeps the trained context beside the object, others keep it inside.
void read_trained(JsonFields& fields, JsonFields& inner, int64_t context_tokens, RopeScaling& scaling) {
  if (scaling.kind == Kind::linear || scaling.kind == Kind::dynamic) return;  // theirs is max_position_embeddings
  const char* key = "original_max_position_embeddings";
  const int64_t inside = inner.integer_or(key, 1, kTrainedMax, 0);
  const int64_t beside = fields.integer_or(key, 1, kTrainedMax, 0);
  if (inside != 0 && beside != 0 && inside != beside) {
    inner.fail(key, "is " + std::to_string(inside) + ", and beside the object " + std::to_string(beside));
  }
  const bool required = scaling.kind == Kind::llama3 || scaling.kind == Kind::longrope;
  if (inside == 0 && beside == 0 && required) inner.fail(key, "is missing");
  scaling.trained_tokens = inside != 0 ? inside : beside != 0 ? beside : context_tokens;
}

void read_factor(JsonFields& inner, int64_t context_tokens, RopeScaling& scaling) {
  const bool implied = scaling.kind == Kind::yarn || scaling.kind == Kind::longrope;
  if (inner.find("factor") == nullptr && !implied) inner.fail("factor", "is missing");
  const double grown = static_cast<double>(context_tokens) / static_cast<double>(scaling.trained_tokens);
  scaling.factor = inner.number_or("factor", 1.0, kFactorMax, implied ? grown : 1.0);
}

void read_llama3(JsonFields& inner, RopeScaling& scaling) {
  scaling.low_freq_factor = inner.number_or("low_freq_factor", 1e-6, kFactorMax, 1.0);
  scaling.high_freq_factor = inner.number_or("high_freq_factor", 1e-6, kFactorMax, 4.0);
  if (!inner.error() && scaling.high_freq_factor <= scaling.low_freq_factor) {
    inner.fail("high_freq_factor", "must be above low_freq_factor");
  }
}

/// Peng et al. 2023, equation 22, and DeepSeek's two-sided form of it.
double yarn_magnitude(double factor, double weight) {
  return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

void read_yarn(JsonFields& inner, RopeScaling& scaling) {
  scaling.beta_fast = inner.number_or("beta_fast", 1e-6, kFactorMax, 32.0);
  scaling.beta_slow = inner.number_or("beta_slow", 1e-6, kFactorMax, 1.0);
  scaling.truncate = inner.boolean_or("truncate", true);
  const double mscale = inner.number_or("mscale", 0.0, kFactorMax, 0.0);
  const double mscale_all_dim = inner.number_or("mscale_all_dim", 0.0, kFactorMax, 0.0);
  const bool both = mscale != 0.0 && mscale_all_dim != 0.0;
  const double magnitude = both
                               ? yarn_magnitude(scaling.factor, mscale) / yarn_magnitude(scaling.factor, mscale_all_dim)
                               : yarn_magnitude(scaling.factor, 1.0);
  scaling.attention_factor = inner.number_or("attention_factor", 0.0, kFactorMax, magnitude);
  if (!inner.error() && scaling.theta <= 1.0) inner.fail("rope_theta", "must be above 1 for yarn");
}

std::vector<float> read_factors(JsonFields& inner, const char* key, int64_t count) {
  const nlohmann::json* list = inner.find(key);
  if (list == nullptr || !list->is_array() || list->size() != static_cast<size_t>(count)) {
    inner.fail(key, "must be a list of " + std::to_string(count) + " numbers, one for each pair that turns");
    return {};
  }
  std::vector<float> factors;
  for (const nlohmann::json& value : *list) {
    const double factor = value.is_number() ? value.get<double>() : 0.0;
    if (!(factor >= 1e-6 && factor <= kFactorMax)) {
      inner.fail(key, "every number must be between 1e-06 and 1e+06");
      return {};
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

void read_longrope(JsonFields& inner, RopeScaling& scaling) {
  scaling.short_factors = read_factors(inner, "short_factor", scaling.width / 2);
  scaling.long_factors = read_factors(inner, "long_factor", scaling.width / 2);
  const auto trained = static_cast<double>(scaling.trained_tokens);
  const bool grown = scaling.factor > 1.0;
  if (grown && scaling.trained_tokens < 2) inner.fail("original_max_position_embeddings", "must be at least 2");
  const double magnitude = grown ? std::sqrt(1.0 + std::log(scaling.factor) / std::log(trained)) : 1.0;
  scaling.attention_factor = inner.number_or("attention_factor", 0.0, kFactorMax, magnitude);
}

/// `object` is rope_scaling, or the rope_parameters of transformers 5, where rope_theta lives inside as well.
void read_object(JsonFields& fields, JsonFields& inner, const nlohmann::json& object, int64_t context_tokens,
                 RopeScaling& scaling) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end() || value.is_null()) continue;
    inner.fail(key.substr(0, 80), "is not known here");
  }
  scaling.kind = read_kind(inner);
  scaling.theta = inner.number_or("rope_theta", 1.0, 1e12, scaling.theta);
  if (scaling.kind == Kind::none || inner.error()) return;
  read_trained(fields, inner, context_tokens, scaling);
  read_factor(inner, context_tokens, scaling);
  if (inner.error()) return;
  if (scaling.kind == Kind::llama3) read_llama3(inner, scaling);
  if (scaling.kind == Kind::yarn) read_yarn(inner, scaling);
  if (scaling.kind == Kind::longrope) read_longrope(inner, scaling);
  if (scaling.kind == Kind::dynamic && scaling.width < 4)
    inner.fail("rope_type", "'dynamic' needs heads of at least 4");
}

/// 1 / θ^(2i/width): Su et al. 2021, section 3.2.2.
float unscaled(float theta, size_t i, int64_t width) {
  return 1.0F / std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(width));
}

/// The base that dynamic grows to for sequences of `tokens`.
double grown_theta(const RopeScaling& scaling, int64_t tokens) {
  const auto width = static_cast<double>(scaling.width);
  const auto reached = static_cast<double>(std::max(tokens, scaling.trained_tokens));
  const double stretch =
      scaling.factor * reached / static_cast<double>(scaling.trained_tokens) - (scaling.factor - 1.0);
  return scaling.theta * std::pow(stretch, width / (width - 2.0));
}

float llama3_frequency(const RopeScaling& scaling, float frequency) {
  const auto factor = static_cast<float>(scaling.factor);
  const auto trained = static_cast<double>(scaling.trained_tokens);
  const float wavelength = static_cast<float>(2.0 * M_PI) / frequency;
  if (wavelength < static_cast<float>(trained / scaling.high_freq_factor)) return frequency;
  if (wavelength > static_cast<float>(trained / scaling.low_freq_factor)) return frequency / factor;
  const auto low = static_cast<float>(scaling.low_freq_factor);
  const auto span = static_cast<float>(scaling.high_freq_factor - scaling.low_freq_factor);
  const float smooth = (static_cast<float>(trained) / wavelength - low) / span;
  return (1.0F - smooth) * frequency / factor + smooth * frequency;
}

/// Pairs [first, last] between which YaRN goes from frequencies as they are to frequencies divided by the factor.
std::pair<double, double> yarn_range(const RopeScaling& scaling) {
  const auto width = static_cast<double>(scaling.width);
  const auto pair_of = [&](double turns) {
    return width * std::log(static_cast<double>(scaling.trained_tokens) / (turns * 2.0 * M_PI)) /
           (2.0 * std::log(scaling.theta));
  };
  double first = pair_of(scaling.beta_fast);
  double last = pair_of(scaling.beta_slow);
  if (scaling.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, width - 1.0);
  return {first, first == last ? last + 0.001 : last};
}

float yarn_frequency(const RopeScaling& scaling, const std::pair<double, double>& range, size_t i) {
  const float period =
      std::pow(static_cast<float>(scaling.theta), static_cast<float>(2 * i) / static_cast<float>(scaling.width));
  const auto first = static_cast<float>(range.first);
  const auto span = static_cast<float>(range.second - range.first);
  const float kept = 1.0F - std::clamp((static_cast<float>(i) - first) / span, 0.0F, 1.0F);
  return 1.0F / (static_cast<float>(scaling.factor) * period) * (1.0F - kept) + 1.0F / period * kept;
}

float longrope_frequency(const RopeScaling& scaling, const std::vector<float>& factors, size_t i) {
  const auto theta = static_cast<float>(scaling.theta);
  return 1.0F / (factors[i] * std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(scaling.width)));
}

}  // namespace

RopeScaling read_rope_scaling(JsonFields& fields, int64_t head_dim, int64_t context_tokens) {
  RopeScaling scaling;
  scaling.theta = fields.number_or("rope_theta", 1.0, 1e12, 10000.0);
  scaling.trained_tokens = context_tokens;
  static const nlohmann::json kNothing = nlohmann::json::object();
  const nlohmann::json* object = &kNothing;
  const char* key = "rope_scaling";
  for (const char* name : {"rope_parameters", "rope_scaling"}) {  // rope_scaling wins where there are both
    const nlohmann::json* found = fields.find(name);
    if (found == nullptr) continue;
    if (!found->is_object()) {
      fields.fail(name, "must be null or an object");
    } else if (!found->empty()) {
      object = found;
      key = name;
    }
  }
  JsonFields inner(fields.file(), *object, std::string(key) + ".");
  read_width(fields, inner, head_dim, scaling);
  read_object(fields, inner, *object, context_tokens, scaling);
  if (inner.error()) fields.adopt(*inner.error());
  return scaling;
}

int64_t scaled_context_tokens(const RopeScaling& scaling, int64_t context_tokens) {
  const bool grows = scaling.kind == Kind::linear || scaling.kind == Kind::dynamic || scaling.kind == Kind::yarn;
  if (!grows) return context_tokens;
  const int64_t from = scaling.kind == Kind::yarn ? scaling.trained_tokens : context_tokens;
  const double grown = std::min(static_cast<double>(from) * scaling.factor, static_cast<double>(kTrainedMax));
  return std::max(context_tokens, static_cast<int64_t>(grown));
}

RopeFrequencies rope_frequencies(const RopeScaling& scaling, int64_t context_tokens) {
  RopeFrequencies made{std::vector<float>(static_cast<size_t>(scaling.width / 2)),
                       static_cast<float>(scaling.attention_factor)};
  const bool dynamic = scaling.kind == Kind::dynamic;
  const auto theta = static_cast<float>(dynamic ? grown_theta(scaling, context_tokens) : scaling.theta);
  const auto range = scaling.kind == Kind::yarn ? yarn_range(scaling) : std::pair<double, double>();
  const bool beyond = context_tokens > scaling.trained_tokens;
  for (size_t i = 0; i < made.inverse.size(); ++i) {
    float frequency = unscaled(theta, i, scaling.width);
    if (scaling.kind == Kind::linear) frequency /= static_cast<float>(scaling.factor);
    if (scaling.kind == Kind::llama3) frequency = llama3_frequency(scaling, frequency);
    if (scaling.kind == Kind::yarn) frequency = yarn_frequency(scaling, range, i);
    if (scaling.kind == Kind::longrope) {
      frequency = longrope_frequency(scaling, beyond ? scaling.long_factors : scaling.short_factors, i);
    }
    made.inverse[i] = frequency;
  }
  return made;
}

}  // namespace weir::engine
