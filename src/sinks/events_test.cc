// Goal: whatever a client sent, its events stand in the output, readable, with nothing lost, added
//   or changed.
// Method: one example for each kind of body, the edges between them, and large bodies against the
//   bound on memory. The output is read with simdjson, the reader its users would take.

#include "sinks/events.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "base/names.h"
#include "sinks/compress.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

constexpr std::uint64_t journal_id = 0x3f9a2c1d55aa;
constexpr Microseconds received_us = 1'700'000'000'123'456;

class Collected final : public LineConsumer {
 public:
  Status consume(std::string_view lines) override {
    text += lines;
    largest_piece = std::max(largest_piece, lines.size());
    return refuse_after-- > 0 ? Status() : fail(ErrorKind::overload, "full");
  }
  std::string text;
  std::size_t largest_piece = 0;
  int refuse_after = 1'000'000;
};

Record record(std::string_view type, std::string_view body, std::string_view encoding = "") {
  return {.sequence = 42,
          .received_us = received_us,
          .tenant = "acme",
          .stream = "clicks",
          .content_type = type,
          .content_encoding = encoding,
          .peer = "127.0.0.1",
          .trace_id = "",
          .idempotency_key = "",
          .body = as_bytes(body)};
}

std::string lines(const Record& of, bool envelope = true, BodyFormat format = BodyFormat::raw) {
  EventWriter writer(envelope);
  Collected collected;
  LineBuffer buffer(collected);
  writer.append(of, journal_id, format, buffer);
  EXPECT_TRUE(buffer.flush());
  return collected.text;
}

std::string bare(const Record& of, BodyFormat format = BodyFormat::raw) {
  return lines(of, false, format);
}

// The line that is expected, with the head that is always the same.
std::string line(const std::string& id_suffix, const std::string& rest) {
  return "{\"id\":\"3f9a2c1d55aa-00000000002a" + id_suffix +
         "\",\"tenant\":\"acme\",\"stream\":\"clicks\","
         "\"received_at\":\"2023-11-14T22:13:20.123456Z\"," +
         rest + "}\n";
}

TEST(Events, a_json_body_is_one_event_byte_for_byte) {
  const std::string json = R"({"n":1.10,"big":123456789012345678901234567890,"s":"a\u00e4 \n"})";
  EXPECT_EQ(lines(record("application/json", json)), line("", "\"data\":" + json));
  EXPECT_EQ(lines(record("application/json; charset=utf-8", " " + json + "\r\n")),
            line("", "\"data\":" + json));
  EXPECT_EQ(lines(record("Application/CloudEvents+JSON", json)), line("", "\"data\":" + json));
  EXPECT_EQ(bare(record("application/json", json)), json + "\n");
}

TEST(Events, json_over_several_lines_becomes_one_line) {
  EXPECT_EQ(lines(record("application/json", "{\r\n  \"a b\": 1,\n\n\t\"c\": [\n 1.0,\n 2 ]\n}")),
            line("", R"("data":{"a b": 1,"c": [1.0,2 ]})"));
}

TEST(Events, a_json_array_is_split_and_its_events_numbered) {
  EXPECT_EQ(lines(record("application/json", "[ {\"a\":[1,2]},\n \"x,]\" , 3.0]")),
            line(".0", R"("data":{"a":[1,2]})") + line(".1", R"("data":"x,]")") +
                line(".2", R"("data":3.0)"));
  EXPECT_EQ(lines(record("application/json", "[7]")), line(".0", "\"data\":7"));
  EXPECT_EQ(bare(record("application/json", "[7,8]")), "7\n8\n");
}

TEST(Events, an_empty_array_leaves_a_trace) {
  EXPECT_EQ(lines(record("application/json", "[ ]")), line("", "\"data\":[ ]"));
}

TEST(Events, ndjson_is_split_by_lines_and_blank_ones_skipped) {
  for (const char* type : {"application/x-ndjson", "application/ndjson", "application/jsonl",
                           "application/x-jsonlines;charset=utf-8"}) {
    EXPECT_EQ(lines(record(type, "{\"a\":1}\r\n\n \t\n[1,2]\n\"x\"")),
              line(".0", R"("data":{"a":1})") + line(".1", R"("data":[1,2])") +
                  line(".2", R"("data":"x")"))
        << type;
  }
  EXPECT_EQ(bare(record("application/x-ndjson", "1\r\n\n2")), "1\n2\n");
}

TEST(Events, an_ndjson_line_that_is_not_json_is_kept_as_text_or_base64) {
  const std::string type = ",\"content_type\":\"application/ndjson\"";
  EXPECT_EQ(lines(record("application/ndjson", " {\"a\":\n1\n\xff\n")),
            line(".0", "\"text\":\" {\\\"a\\\":\"" + type) + line(".1", "\"data\":1") +
                line(".2", "\"base64\":\"/w==\"" + type));
  EXPECT_EQ(bare(record("application/ndjson", "{\n1\n\xff\n")), "{\n1\n\xff\n");
}

TEST(Events, ndjson_without_events_leaves_a_trace) {
  EXPECT_EQ(lines(record("application/ndjson", " \n\n")),
            line("", R"("text":" \n\n","content_type":"application/ndjson")"));
}

TEST(Events, json_that_is_not_json_is_text_or_base64) {
  const std::string type = ",\"content_type\":\"application/json\"";
  EXPECT_EQ(lines(record("application/json", "{\"a\":")),
            line("", "\"text\":\"{\\\"a\\\":\"" + type));
  EXPECT_EQ(lines(record("application/json", "\"\xff\"")), line("", "\"base64\":\"Iv8i\"" + type));
  EXPECT_EQ(lines(record("application/json", "1\n2\n")), line("", R"("text":"1\n2\n")" + type));
}

TEST(Events, other_bodies_are_whole_and_never_split) {
  EXPECT_EQ(lines(record("text/plain", "a\nb\n")),
            line("", R"("text":"a\nb\n","content_type":"text/plain")"));
  EXPECT_EQ(lines(record("", "{\"a\":1}")), line("", R"("text":"{\"a\":1}")"));
  EXPECT_EQ(lines(record("application/json-seq", "\x1e{}\n")),
            line("", R"("text":"\u001e{}\n","content_type":"application/json-seq")"));
  EXPECT_EQ(lines(record("image/png", "\x89PNG")),
            line("", R"("base64":"iVBORw==","content_type":"image/png")"));
  EXPECT_EQ(bare(record("text/plain", "a\nb")), "a\nb\n");
  EXPECT_EQ(bare(record("text/plain", "a\nb\n")), "a\nb\n");
  EXPECT_EQ(bare(record("image/png", "\x89PNG")), "\x89PNG\n");
}

TEST(Events, an_empty_body_is_an_empty_text_whatever_it_is_called) {
  for (const char* type : {"", "application/json", "application/ndjson"}) {
    for (const char* encoding : {"", "gzip"}) {
      EXPECT_NE(lines(record(type, "", encoding)).find("\"text\":\"\""), std::string::npos) << type;
    }
  }
  EXPECT_EQ(bare(record("", "")), "\n");
}

TEST(Events, the_streams_format_is_stronger_than_the_content_type) {
  EXPECT_EQ(lines(record("text/plain", "[1]"), true, BodyFormat::json), line(".0", "\"data\":1"));
  EXPECT_EQ(lines(record("application/json", "[1]\n[2]"), true, BodyFormat::ndjson),
            line(".0", "\"data\":[1]") + line(".1", "\"data\":[2]"));
}

std::string compressed(Compression compression, std::string_view text) {
  Compressor compressor(compression, 1);
  std::string out;
  compressor.append(text, out);
  compressor.finish(out);
  return out;
}

TEST(Events, compressed_bodies_are_decoded_first) {
  EXPECT_EQ(lines(record("application/json", compressed(Compression::gzip, "[1,2]"), "gzip")),
            line(".0", "\"data\":1") + line(".1", "\"data\":2"));
  EXPECT_EQ(lines(record("application/ndjson", compressed(Compression::zstd, "1\n2"), "zstd")),
            line(".0", "\"data\":1") + line(".1", "\"data\":2"));
}

TEST(Events, what_cannot_be_decoded_is_kept_whole_with_its_encoding) {
  EXPECT_EQ(lines(record("application/json", "abc", "gzip")),
            line("", R"("base64":"YWJj","encoding":"gzip","content_type":"application/json")"));
  EXPECT_EQ(lines(record("", "abc", "br")), line("", R"("base64":"YWJj","encoding":"br")"));
  EXPECT_EQ(bare(record("", "abc", "br")), "abc\n");
}

TEST(Events, a_body_that_decodes_beyond_the_bound_is_kept_whole) {
  const std::string bomb =
      compressed(Compression::zstd, std::string(codec::decoded_bytes_max + 1, ' '));
  const std::string out = lines(record("application/json", bomb, "zstd"));
  std::string base64;
  append_base64(base64, as_bytes(bomb));
  EXPECT_EQ(out, line("", "\"base64\":\"" + base64 +
                              "\",\"encoding\":\"zstd\",\"content_type\":\"application/json\""));
}

TEST(Events, memory_stays_bounded_however_much_comes_out) {
  std::string many;
  for (int i = 0; i < 200'000; i++) many += "1\n";
  const std::string control(3U << 20, '\x01');
  std::string umlauts;
  for (int i = 0; i < 500'000; i++) umlauts += "\xc3\xa4x";
  const std::string binary(3U << 20, '\xff');
  const std::string pretty =
      "[\n[" + std::string(1U << 20, ' ') + "1\n,\"" + std::string(1U << 20, 'x') + "\"]]";
  for (const auto& [type, body] :
       {std::pair("application/ndjson", many), std::pair("text/plain", control),
        std::pair("text/plain", umlauts), std::pair("image/png", binary),
        std::pair("application/json", pretty)}) {
    EventWriter writer(true);
    Collected collected;
    LineBuffer buffer(collected);
    writer.append(record(type, body), journal_id, BodyFormat::raw, buffer);
    ASSERT_TRUE(buffer.flush());
    EXPECT_LE(collected.largest_piece, 7 * LineBuffer::piece_bytes);
    EXPECT_TRUE(collected.text.ends_with("}\n"));
  }
}

TEST(Events, long_texts_read_back_the_same) {
  std::string text;
  for (int i = 0; i < 100'000; i++)
    text += i % 7 == 0 ? "\xf0\x9f\x98\x80" : i % 3 ? "\n" : "\"x\\";
  for (const std::size_t cut : {0U, 1U, 2U, 3U}) {
    std::string body = std::string(cut, 'a') + text;
    const std::string out = lines(record("text/plain", body));
    simdjson::dom::parser parser;
    std::string_view back;
    ASSERT_EQ(parser.parse(out)["text"].get(back), simdjson::SUCCESS);
    EXPECT_EQ(back, body);
  }
}

TEST(Events, an_error_of_the_consumer_is_kept_and_ends_the_output) {
  EventWriter writer(true);
  Collected collected;
  collected.refuse_after = 1;
  LineBuffer buffer(collected);
  const std::string body(1U << 20, 'x');
  writer.append(record("text/plain", body), journal_id, BodyFormat::raw, buffer);
  ASSERT_FALSE(buffer.status());
  EXPECT_EQ(buffer.status().error().kind, ErrorKind::overload);
  EXPECT_FALSE(buffer.flush());
  EXPECT_LT(collected.text.size(), body.size() / 4);
}

}  // namespace
}  // namespace inlet::sinks
