#include "load/body.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

#include "base/check.h"
#include "base/crc32c.h"

namespace inlet::loader {
namespace {

constexpr std::string_view before_run = R"({"run":")";
constexpr std::string_view before_number = R"(","n":)";
constexpr std::string_view before_pad = R"(,"pad":")";
constexpr std::string_view after_pad = R"("})";
constexpr std::size_t crc_chars = 8;
constexpr std::size_t digits_max = 16;
constexpr std::size_t frame_bytes = before_run.size() + run_chars + before_number.size() +
                                    before_pad.size() + crc_chars + after_pad.size();
static_assert(frame_bytes + digits_max <= body_bytes_min);

// Beyond the window of the compressors that matter, so that they find no pad a second time.
constexpr std::size_t pool_bytes = 4U << 20;
constexpr std::size_t slots_max = 16384;
constexpr std::size_t slots_min = 2;
constexpr std::size_t copied_bytes_max = 4096;  // Longer pads are sent from where they are.

class Digits {
 public:
  explicit Digits(std::uint64_t number) {
    const auto [end, error] = std::to_chars(chars_.data(), chars_.data() + chars_.size(), number);
    CHECK(error == std::errc());
    count_ = static_cast<std::size_t>(end - chars_.data());
  }
  [[nodiscard]] std::string_view view() const { return {chars_.data(), count_}; }

 private:
  std::array<char, 20> chars_;
  std::size_t count_;
};

std::array<char, crc_chars> hex(std::uint32_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::array<char, crc_chars> out;
  for (std::size_t i = 0; i < crc_chars; i++) out[i] = digits[value >> (28 - 4 * i) & 15];
  return out;
}

std::uint32_t finish_crc(std::uint32_t pad_crc, std::string_view run, std::string_view digits) {
  return crc32c(as_bytes(digits), crc32c(as_bytes(run), pad_crc));
}

std::string make_words(std::size_t bytes, std::mt19937_64& random) {
  std::vector<std::string> words(1024);
  for (std::string& word : words) {
    for (std::uint64_t chars = 2 + random() % 8; chars > 0; chars--) {
      word += static_cast<char>('a' + random() % 26);
    }
  }
  std::string text;
  text.reserve(bytes + 16);
  while (text.size() < bytes) text.append(words[random() % words.size()]).append(1, ' ');
  text.resize(bytes);
  return text;
}

std::string make_pool(std::size_t bytes, Entropy entropy, std::uint64_t seed) {
  static constexpr char letters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::mt19937_64 random(seed);
  if (entropy == Entropy::text) return make_words(bytes, random);
  std::string pool(bytes, 'x');
  if (entropy == Entropy::none) return pool;
  for (std::size_t i = 0; i < bytes; i += 10) {
    std::uint64_t bits = random();
    for (std::size_t j = i; j < std::min(i + 10, bytes); j++, bits >>= 6)
      pool[j] = letters[bits & 63];
  }
  return pool;
}

}  // namespace

BodyMaker::BodyMaker(Options options) : options_(std::move(options)) {
  CHECK(options_.run.size() == run_chars);
  CHECK(options_.bytes >= body_bytes_min && options_.bytes <= body_bytes_max);
  slot_bytes_ = options_.bytes - frame_bytes;
  slots_.resize(std::clamp(pool_bytes / slot_bytes_, slots_min, slots_max));
  pool_ = make_pool(slots_.size() * slot_bytes_, options_.entropy, options_.seed);
}

BodyParts BodyMaker::append(std::uint64_t number, std::string& out) {
  const Digits digits(number);
  CHECK(digits.view().size() <= digits_max);
  const std::size_t index = number % slots_.size();
  const std::size_t pad_bytes = slot_bytes_ - digits.view().size();
  const std::string_view pad(pool_.data() + index * slot_bytes_, pad_bytes);
  Slot& slot = slots_[index];
  if (slot.pad_bytes != pad_bytes) {
    slot = {static_cast<std::uint32_t>(pad_bytes), crc32c(as_bytes(pad))};
  }
  const auto crc = hex(finish_crc(slot.crc, options_.run, digits.view()));
  out.append(before_run).append(options_.run).append(before_number).append(digits.view());
  out.append(before_pad).append(crc.data(), crc.size());
  if (pad_bytes > copied_bytes_max) return {pad, after_pad};
  out.append(pad).append(after_pad);
  return {};
}

bool is_intact(std::string_view run, std::uint64_t number, std::string_view pad) {
  if (pad.size() < crc_chars) return false;
  const std::uint32_t pad_crc = crc32c(as_bytes(pad.substr(crc_chars)));
  const auto expected = hex(finish_crc(pad_crc, run, Digits(number).view()));
  return pad.starts_with(std::string_view(expected.data(), expected.size()));
}

}  // namespace inlet::loader
