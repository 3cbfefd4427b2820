#include "engine/bench/grammar_cli.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <ostream>

#include "engine/bench/quantile.h"
#include "engine/grammar/compile.h"
#include "engine/options.h"
#include "engine/text/tokenizer.h"

namespace weir::engine::bench {
namespace {

constexpr std::string_view kGrammarHelp =
    "usage: weir bench grammar --tokenizer DIR [options]\n"
    "Holds answers to JSON Schemas with a model's vocabulary, token by token as the sampler does: what compiling "
    "takes,\n"
    "and what each next token's mask does, in the processor time of one thread. No model runs.\n"
    "  --tokenizer DIR      a folder with a tokenizer.json, or such a file\n"
    "  --rounds N           times that each schema is compiled anew and followed (default 5)\n"
    "  --json               one JSON object instead of the table\n";

struct GrammarOptions {
  std::string tokenizer;
  int32_t rounds = 5;
  bool json = false;
  bool help = false;
};

/// A schema, and an answer that fits it.
struct Sample {
  const char* name;
  const char* schema;
  const char* answer;
};

constexpr auto kSamples = std::to_array<Sample>({
    {"a person",
     R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"email":{"type":"string","format":"email"},"tags":{"type":"array","items":{"type":"string"}}},"required":["name","age","email","tags"],"additionalProperties":false})",
     R"({"name": "Ada Lovelace", "age": 36, "email": "ada@example.com", "tags": ["mathematics", "engines", "a first programmer"]})"},
    {"an order of nested lists",
     R"({"$defs":{"item":{"type":"object","properties":{"sku":{"type":"string","pattern":"^[A-Z]{3}-[0-9]{4}$"},"quantity":{"type":"integer","minimum":1,"maximum":99},"note":{"type":["string","null"]}},"required":["sku","quantity","note"],"additionalProperties":false}},"type":"object","properties":{"id":{"type":"string","format":"uuid"},"placed":{"type":"string","format":"date-time"},"status":{"enum":["open","paid","sent"]},"items":{"type":"array","items":{"$ref":"#/$defs/item"},"minItems":1}},"required":["id","placed","status","items"],"additionalProperties":false})",
     R"({"id": "123e4567-e89b-12d3-a456-426614174000", "placed": "2026-11-30T16:20:00Z", "status": "paid", "items": [{"sku": "ABC-1234", "quantity": 3, "note": null}, {"sku": "XYZ-0001", "quantity": 12, "note": "leave it at the door, please"}]})"},
    {"a tree",
     R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"value":{"type":"number"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["value","children"],"additionalProperties":false}}})",
     R"({"value": 1.5, "children": [{"value": -2, "children": []}, {"value": 3e5, "children": [{"value": 0.25, "children": []}]}]})"},
    {"one of three events",
     R"({"anyOf":[{"type":"object","properties":{"kind":{"const":"message"},"text":{"type":"string"}},"required":["kind","text"],"additionalProperties":false},{"type":"object","properties":{"kind":{"const":"file"},"path":{"type":"string"},"bytes":{"type":"integer"}},"required":["kind","path","bytes"],"additionalProperties":false},{"type":"object","properties":{"kind":{"const":"done"}},"required":["kind"],"additionalProperties":false}]})",
     R"({"kind": "file", "path": "/srv/reports/2026/november.pdf", "bytes": 48213})"},
    {"strings of bounded length",
     R"({"type":"object","properties":{"title":{"type":"string","minLength":3,"maxLength":60},"summary":{"type":"string","maxLength":400}},"required":["title","summary"],"additionalProperties":false})",
     R"({"title": "The weir above the mill", "summary": "A weir measures and regulates a flow. This one was built of oak and stone, and its keeper wrote down every inch of water that went over it for forty years."})"},
    {"any object", R"({"type":"object"})",
     R"({"city": "Zürich", "population": 436332, "districts": [{"number": 1, "name": "Altstadt"}, {"number": 2, "name": "Enge, Wollishofen & Leimbach"}], "capital": false, "mayor": null})"},
});

struct Row {
  std::string name;
  double compile_ms = 0;
  std::vector<double> mask_us;
};

/// Of this thread's own processor time: what others do on the machine is no part of it.
double microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Follows the sample's answer through a grammar made anew.
Result<void> follow(const Sample& sample, const std::shared_ptr<const grammar::Vocabulary>& vocabulary,
                    const Tokenizer& tokenizer, Row& row) {
  grammar::Source source{.answer = grammar::Source::Answer::json_schema, .place = sample.name};
  source.schema = read_json<nlohmann::ordered_json>(sample.schema);
  const double begin = microseconds();
  auto made = grammar::compile(vocabulary, source);
  if (!made) return std::move(made).error();
  row.compile_ms = (microseconds() - begin) / 1000;
  auto ids = tokenizer.encode(sample.answer);
  if (!ids) return std::move(ids).error();
  grammar::Matcher matcher(*made);
  for (const TokenId id : *ids) {
    const double asked = microseconds();
    const auto mask = matcher.mask();
    const bool allowed = ((*mask)[static_cast<size_t>(id) / 32] >> id % 32 & 1U) != 0;
    const bool taken = matcher.accept(id);
    row.mask_us.push_back(microseconds() - asked);
    if (!allowed || !taken) return grammar::refused(sample.name, "its answer is not one of its texts");
  }
  if (!matcher.complete()) return grammar::refused(sample.name, "its answer is not whole");
  return {};
}

std::string text_of_rows(const std::vector<Row>& rows, double vocabulary_ms) {
  std::array<char, 160> line;
  std::string text;
  std::snprintf(line.data(), line.size(), "vocabulary: %.0f ms, once\n%-28s %10s %8s %8s %8s %8s\n", vocabulary_ms, "",
                "compile ms", "mean µs", "p50", "p99", "max");
  text += line.data();
  for (const Row& row : rows) {
    std::snprintf(line.data(), line.size(), "%-28s %10.2f %8.1f %8.1f %8.1f %8.1f\n", row.name.c_str(), row.compile_ms,
                  mean_of(row.mask_us), median(row.mask_us), quantile(row.mask_us, 0.99), quantile(row.mask_us, 1));
    text += line.data();
  }
  return text;
}

std::string json_of_rows(const std::vector<Row>& rows, double vocabulary_ms) {
  nlohmann::ordered_json json = {{"vocabulary_ms", vocabulary_ms}, {"schemas", nlohmann::ordered_json::array()}};
  for (const Row& row : rows) {
    json["schemas"].push_back({{"name", row.name},
                               {"compile_ms", row.compile_ms},
                               {"tokens", row.mask_us.size()},
                               {"mean_us", mean_of(row.mask_us)},
                               {"p50_us", median(row.mask_us)},
                               {"p99_us", quantile(row.mask_us, 0.99)},
                               {"max_us", quantile(row.mask_us, 1)}});
  }
  return json.dump() + "\n";
}

std::optional<std::string> parse_grammar(const std::vector<std::string>& args, GrammarOptions& o) {
  const std::vector<Option> table = {{"--tokenizer", nullptr, take_text(o.tokenizer), "a folder or a file"},
                                     {"--rounds", nullptr, take_integer(o.rounds, 1, 1000), between(1, 1000)},
                                     {"--json", &o.json, {}, {}},
                                     {"--help", &o.help, {}, {}},
                                     {"-h", &o.help, {}, {}}};
  if (auto problem = parse_options(args, table)) return problem;
  if (!o.help && o.tokenizer.empty()) return "--tokenizer is missing";
  return std::nullopt;
}

Result<std::vector<Row>> measure_masks(const GrammarOptions& options, double& vocabulary_ms) {
  const auto tokenizer = Tokenizer::load(options.tokenizer);
  if (!tokenizer) return tokenizer.error();
  const double begin = microseconds();
  const auto vocabulary = grammar::Vocabulary::of(**tokenizer, (*tokenizer)->stop_ids(), (*tokenizer)->vocab_size());
  vocabulary_ms = (microseconds() - begin) / 1000;
  if (!vocabulary) return grammar::refused("--tokenizer", "joins tokens by more than their bytes");
  std::vector<Row> rows;
  Row all{.name = "all"};
  for (const Sample& sample : kSamples) {
    Row row{.name = sample.name};
    for (int32_t round = 0; round < options.rounds; ++round) {
      if (auto done = follow(sample, vocabulary, **tokenizer, row); !done) return std::move(done).error();
    }
    all.mask_us.insert(all.mask_us.end(), row.mask_us.begin(), row.mask_us.end());
    all.compile_ms += row.compile_ms / static_cast<double>(kSamples.size());
    rows.push_back(std::move(row));
  }
  rows.push_back(std::move(all));
  return rows;
}

int run_grammar(const GrammarOptions& options, std::ostream& out, std::ostream& err) {
  double vocabulary_ms = 0;
  const auto rows = measure_masks(options, vocabulary_ms);
  if (!rows) {
    err << "weir bench grammar: " << rows.error().detail << "\n";
    return kFailed;
  }
  out << (options.json ? json_of_rows(*rows, vocabulary_ms) : text_of_rows(*rows, vocabulary_ms)) << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int grammar_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return run_command<GrammarOptions>("weir bench grammar", kGrammarHelp, args, out, err, parse_grammar, run_grammar);
}

}  // namespace weir::engine::bench
