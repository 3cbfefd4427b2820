#include "engine/model/safetensors_write.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/model/safetensors.h"

namespace weir::engine {
namespace {

using nlohmann::ordered_json;

uint64_t bytes_of(const TensorHeader& tensor) {
  uint64_t bytes = stored_element_bytes(tensor.dtype);
  assert(bytes != 0);
  for (const int64_t dimension : tensor.shape) bytes *= static_cast<uint64_t>(dimension);
  return bytes;
}

/// Tensors in the order given, as many to a shard as fit; one that is larger than a shard has its own.
std::vector<std::vector<TensorHeader>> shards_of(const std::vector<TensorHeader>& tensors, uint64_t shard_bytes_max) {
  std::vector<std::vector<TensorHeader>> shards(1);
  uint64_t bytes = 0;
  for (const TensorHeader& tensor : tensors) {
    const uint64_t own = bytes_of(tensor);
    if (!shards.back().empty() && bytes + own > shard_bytes_max) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += own;
    shards.back().push_back(tensor);
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

/// Length and JSON, and with it the offset of the first tensor: a multiple of 8.
std::string header_of(const std::vector<TensorHeader>& tensors) {
  ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t at = 0;
  for (const TensorHeader& tensor : tensors) {
    const uint64_t end = at + bytes_of(tensor);
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string json = header.dump();
  json.append((8 - json.size() % 8) % 8, ' ');
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(json.size() >> (8 * i) & 0xffU));
  return bytes + json;
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::create(const NewFolder& folder, const std::vector<TensorHeader>& tensors,
                                                    uint64_t shard_bytes_max) {
  SafetensorsWriter writer;
  auto shards = shards_of(tensors, shard_bytes_max);
  ordered_json map = ordered_json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    auto& shard = shards[i];
    std::stable_sort(shard.begin(), shard.end(), [](const TensorHeader& a, const TensorHeader& b) {
      return stored_element_bytes(a.dtype) > stored_element_bytes(b.dtype);
    });
    const std::string header = header_of(shard);
    const std::string name = shard_name(i, shards.size());
    uint64_t at = header.size();
    for (const TensorHeader& tensor : shard) {
      const uint64_t end = at + bytes_of(tensor);
      writer.places_[tensor.name] = {i, at, end};
      writer.bytes_ += end - at;
      map[tensor.name] = name;
      at = end;
    }
    auto file = NewFile::create(folder.file(name), at);
    if (!file.ok()) return file.error();
    if (auto written = file->write(0, header); !written.ok()) return written.error();
    writer.files_.push_back(*std::move(file));
  }
  if (shards.size() > 1) {
    const ordered_json index = {{"metadata", {{"total_size", writer.bytes_}}}, {"weight_map", std::move(map)}};
    auto written = folder.write_file("model.safetensors.index.json", index.dump(2) + "\n");
    if (!written.ok()) return written.error();
  }
  return writer;
}

Result<void> SafetensorsWriter::write(std::string_view name, std::string_view bytes) {
  const auto found = places_.find(name);
  assert(found != places_.end());
  Place& place = found->second;
  assert(bytes.size() <= place.end - place.next);
  auto written = files_[place.file].write(place.next, bytes);
  place.next += bytes.size();
  return written;
}

Result<void> SafetensorsWriter::finish() {
  assert(std::all_of(places_.begin(), places_.end(), [](const auto& p) { return p.second.next == p.second.end; }));
  for (NewFile& file : files_) {
    if (auto closed = file.close(); !closed.ok()) return closed;
  }
  return {};
}

}  // namespace weir::engine
