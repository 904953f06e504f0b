// Goal: a configuration says what its sources say, with the right weight, or says every mistake.
// Method: small files, environments and flags; the schema itself is gone over key by key.

#include "main/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "main/config_schema.h"

namespace inlet::main {
namespace {

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    directory_ = make_test_directory("config_test");
    sources_.host = {
        .host_name = "Box.example", .cores = 3, .memory_limit_bytes = {}, .descriptors_max = 1064};
  }
  ~ConfigTest() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& text) {
    sources_.file = directory_ + "/inlet.toml";
    std::ofstream(sources_.file) << text;
  }
  Loaded load() { return load_config(files_, sources_); }
  Loaded load_right() {
    Loaded loaded = load();
    for (const std::string& mistake : loaded.mistakes) ADD_FAILURE() << mistake;
    return loaded;
  }
  // All mistakes, without the directory.
  std::vector<std::string> mistakes() {
    std::vector<std::string> out = load().mistakes;
    for (std::string& mistake : out) {
      if (mistake.starts_with(directory_)) mistake = mistake.substr(directory_.size() + 1);
    }
    return out;
  }
  static std::string origin_of(const Loaded& loaded, const std::string& key) {
    for (const Setting& setting : loaded.settings) {
      if (setting.key == key) return setting.origin;
    }
    return "no such setting";
  }

  PosixFileSystem files_;
  Sources sources_;
  std::string directory_;
};

using Lines = std::vector<std::string>;

TEST_F(ConfigTest, without_any_source_is_a_node_that_runs_on_a_laptop) {
  const Loaded loaded = load_right();
  const Config& config = loaded.config;
  EXPECT_EQ(config.data, "./data");
  EXPECT_EQ(config.node.name, "box.example");
  EXPECT_EQ(config.server.listen, (Address{"127.0.0.1", 8080}));
  EXPECT_EQ(config.server.admin, (Address{"127.0.0.1", 8081}));
  EXPECT_EQ(config.server.loops, 3U);
  EXPECT_EQ(config.server.memory_bytes, 256U << 20);
  EXPECT_EQ(config.server.max_connections, 1000U);
  EXPECT_EQ(config.server.idle_timeout_us, 75'000'000);
  EXPECT_EQ(config.journal.path, "./data/journal");
  EXPECT_EQ(config.journal.max_bytes, std::uint64_t{10} << 30);
  EXPECT_TRUE(config.streams.empty());
  ASSERT_EQ(config.sinks.size(), 1U);
  EXPECT_EQ(config.sinks[0].name, "archive");
  EXPECT_EQ(config.sinks[0].path, "./data/archive");
}

TEST_F(ConfigTest, memory_is_three_fifths_of_a_small_container_but_never_below_its_least) {
  sources_.host.memory_limit_bytes = 200U << 20;
  EXPECT_EQ(load_right().config.server.memory_bytes, (200U << 20) / 10 * 6);
  sources_.host.memory_limit_bytes = 32U << 20;
  EXPECT_EQ(load_right().config.server.memory_bytes, 48U << 20);
  sources_.host.memory_limit_bytes = std::uint64_t{8} << 30;
  EXPECT_EQ(load_right().config.server.memory_bytes, 256U << 20);
}

TEST_F(ConfigTest, flags_win_over_environment_over_file_over_default) {
  Loaded loaded = load_right();
  EXPECT_EQ(origin_of(loaded, "server.listen"), "default");
  write("[server]\nlisten = \"127.0.0.1:1\"\n");
  loaded = load_right();
  EXPECT_EQ(loaded.config.server.listen.port, 1);
  EXPECT_EQ(origin_of(loaded, "server.listen"), sources_.file + ":2:10");
  sources_.environment = {{"INLET_SERVER_LISTEN", "127.0.0.1:2"}};
  loaded = load_right();
  EXPECT_EQ(loaded.config.server.listen.port, 2);
  EXPECT_EQ(origin_of(loaded, "server.listen"), "environment INLET_SERVER_LISTEN");
  sources_.flags = {{"server.listen", "--listen", "127.0.0.1:3"}};
  loaded = load_right();
  EXPECT_EQ(loaded.config.server.listen.port, 3);
  EXPECT_EQ(origin_of(loaded, "server.listen"), "--listen");
}

TEST_F(ConfigTest, data_and_config_can_come_from_the_environment_and_flags_win) {
  write("[node]\nname = \"seven\"\n");
  sources_.environment = {{"INLET_DATA", "/d"}, {"INLET_CONFIG", sources_.file}};
  sources_.file.clear();
  Loaded loaded = load_right();
  EXPECT_EQ(loaded.config.node.name, "seven");
  EXPECT_EQ(loaded.config.journal.path, "/d/journal");
  sources_.data = "/e";
  EXPECT_EQ(load_right().config.journal.path, "/e/journal");
}

TEST_F(ConfigTest, every_mistake_is_found_in_one_reading_in_the_order_of_the_file) {
  write(R"([server]
lisen = "127.0.0.1:8080"
admin = 8081
loops = "2"
max_body = "16Mib"
[sever]
[journal]
retain = "5"
direct = "atuo"
[streams]
web = 1
)");
  sources_.environment = {{"INLET_SERVER_ADMIN", "here"}, {"PATH", "/bin"}};
  EXPECT_EQ(
      mistakes(),
      (Lines{"inlet.toml:2:1: server.lisen is not a key of [server]; did you mean listen?",
             "inlet.toml:3:9: server.admin takes a text in quotes, not a number",
             "inlet.toml:4:9: server.loops takes a whole number, not a text",
             "inlet.toml:5:12: server.max_body: \"16Mib\" is not a size such as 16MiB",
             "inlet.toml:6:2: [sever] is not a section; did you mean server?",
             "inlet.toml:8:10: journal.retain: \"5\" is not a duration such as 10s (us, ms, s, m, "
             "h or d)",
             "inlet.toml:9:10: journal.direct: \"atuo\" is not \"auto\" or \"never\"; did you mean "
             "auto?",
             "inlet.toml:11:1: streams.web is not a table: write [streams.NAME] and its keys below",
             "environment INLET_SERVER_ADMIN: server.admin: \"here\" is not a numeric address with "
             "a port, "
             "such as \"127.0.0.1:8080\" or \"[::]:8080\""}));
}

TEST_F(ConfigTest, text_that_is_not_toml_is_one_mistake_with_its_place) {
  write("[server]\nlisten = \n");
  const Lines found = mistakes();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].starts_with("inlet.toml:2:")) << found[0];
}

TEST_F(ConfigTest, a_file_that_cannot_be_read_is_a_mistake) {
  sources_.file = directory_ + "/missing.toml";
  EXPECT_EQ(load().mistakes,
            Lines{"--config: open " + sources_.file + ": No such file or directory"});
}

TEST_F(ConfigTest, variables_find_names_of_the_file_and_make_new_ones) {
  write("[streams.\"web.clicks-eu\"]\n[sinks.a]\n");
  sources_.environment = {{"INLET_STREAMS_WEB_CLICKS_EU_FORMAT", "json"},
                          {"INLET_STREAMS_APP_MAX_BODY", "1MiB"},
                          {"INLET_SINKS_A_BATCH_BYTES", "3MiB"}};
  const Config config = load_right().config;
  ASSERT_EQ(config.streams.size(), 2U);
  EXPECT_EQ(config.streams[0].name, "app");
  EXPECT_EQ(config.streams[0].max_body_bytes, 1U << 20);
  EXPECT_EQ(config.streams[1].name, "web.clicks-eu");
  EXPECT_EQ(config.streams[1].format, Format::json);
  EXPECT_EQ(config.streams[1].max_body_bytes, config.server.max_body_bytes);
  ASSERT_EQ(config.sinks.size(), 1U);
  EXPECT_EQ(config.sinks[0].batch_bytes, 3U << 20);
}

TEST_F(ConfigTest, the_default_sink_can_be_set_from_the_environment_alone) {
  sources_.environment = {{"INLET_SINKS_ARCHIVE_PATH", "/mnt/archive"}};
  const Config config = load_right().config;
  ASSERT_EQ(config.sinks.size(), 1U);
  EXPECT_EQ(config.sinks[0].path, "/mnt/archive");
}

TEST_F(ConfigTest, variables_that_stand_for_nothing_or_for_two_things_are_mistakes) {
  write("[streams.a-b]\n[streams.a_b]\n");
  sources_.environment = {{"INLET_SERVER_LISEN", "x"}, {"INLET_STREAMS_A_B_FORMAT", "raw"}};
  EXPECT_EQ(
      mistakes(),
      (Lines{"environment INLET_SERVER_LISEN: stands for no key; did you mean INLET_SERVER_LISTEN?",
             "environment INLET_STREAMS_A_B_FORMAT: could mean streams.a-b.format or "
             "streams.a_b.format"}));
}

TEST_F(ConfigTest, an_empty_sinks_section_means_none) {
  write("[sinks]\n");
  EXPECT_TRUE(load_right().config.sinks.empty());
}

TEST_F(ConfigTest, anonymous_data_from_outside_must_be_allowed_in_writing) {
  sources_.flags = {{"server.listen", "--listen", "0.0.0.0:8080"}};
  EXPECT_EQ(mistakes().size(), 1U);
  sources_.environment = {{"INLET_SERVER_AUTH", "none"}};
  EXPECT_EQ(mistakes(), Lines{});
  sources_.flags[0].value = "[::1]:8080";
  sources_.environment.clear();
  EXPECT_EQ(mistakes(), Lines{});
}

TEST_F(ConfigTest, an_empty_admin_address_turns_the_listener_off) {
  sources_.environment = {{"INLET_SERVER_ADMIN", ""}};
  EXPECT_FALSE(load_right().config.server.admin);
}

TEST_F(ConfigTest, values_that_contradict_each_other_are_mistakes_where_they_were_written) {
  write(R"([server]
admin = "127.0.0.1:8080"
max_body = "30MiB"
memory = "48MiB"
[journal]
segment_bytes = "16MiB"
max_bytes = "20MiB"
[streams.a]
ack = "replicated"
max_body = "31MiB"
[sinks.a]
path = "./data/journal/a"
compression = "gzip"
level = 10
[sinks.b]
path = "x/y"
[sinks.c]
path = "x/../x/y/"
)");
  EXPECT_EQ(
      mistakes(),
      (Lines{"inlet.toml:2:9: server.admin: 127.0.0.1:8080 is also server.listen",
             "inlet.toml:3:12: server.max_body: 30MiB is more than half of server.memory, 48MiB",
             "inlet.toml:6:17: journal.segment_bytes: 16MiB cannot hold a body of server.max_body, "
             "30MiB, "
             "beside a full commit; it takes at least 61MiB",
             "inlet.toml:7:13: journal.max_bytes: 20MiB is less than 4 segments of 16MiB",
             "inlet.toml:9:7: streams.a.ack: \"replicated\" needs a sink with replica = true, and "
             "none is "
             "configured",
             "inlet.toml:10:12: streams.a.max_body: 31MiB is above server.max_body, 30MiB",
             "inlet.toml:12:8: sinks.a.path: ./data/journal/a and journal.path, ./data/journal, "
             "must not be "
             "in one another",
             "inlet.toml:14:9: sinks.a.level: 10 is above 9, the most gzip has",
             "inlet.toml:18:8: sinks.c.path: x/../x/y/ and sinks.b.path, x/y, must not be in one "
             "another"}));
}

TEST_F(ConfigTest, every_type_of_sink_has_its_own_keys_and_defaults) {
  write(R"([sinks.bus]
type = "kafka"
brokers = "127.0.0.1:9092"
replica = true
streams = ["web.*", "app"]
[sinks.lake]
type = "s3"
bucket = "lake"
path_style = true
[sinks.out]
type = "http"
url = "https://example.com/{tenant}/{stream}"
headers = ["A: b", "C: d;e"]
bearer = "hidden"
[streams."web.clicks"]
ack = "replicated"
)");
  const Loaded loaded = load_right();
  const std::vector<SinkConfig>& sinks = loaded.config.sinks;
  ASSERT_EQ(sinks.size(), 3U);
  EXPECT_EQ(sinks[0].type, SinkType::kafka);
  EXPECT_EQ(sinks[0].compression, Compression::lz4);
  EXPECT_EQ(sinks[0].streams, (Lines{"web.*", "app"}));
  EXPECT_EQ(replica_of(loaded.config), sinks.data());
  EXPECT_EQ(sinks[1].batch_age_us, 30'000'000);
  EXPECT_EQ(sinks[1].path_style, PathStyle::yes);
  EXPECT_EQ(sinks[2].headers, (Lines{"A: b", "C: d;e"}));
  EXPECT_EQ(sinks[2].bearer, "hidden");
  for (const Setting& setting : loaded.settings) {
    EXPECT_EQ(setting.value.find("hidden"), std::string::npos) << setting.key;
    EXPECT_NE(setting.key, "sinks.bus.bucket");
  }
}

TEST_F(ConfigTest, a_list_in_the_environment_is_written_as_in_the_file_or_is_one_item) {
  sources_.environment = {{"INLET_SINKS_OUT_TYPE", "http"},
                          {"INLET_SINKS_OUT_URL", "http://127.0.0.1/"},
                          {"INLET_SINKS_OUT_HEADERS", R"(["A: b", "C: d, e"])"},
                          {"INLET_SINKS_OUT_STREAMS", "web.*"}};
  const Config config = load_right().config;
  ASSERT_EQ(config.sinks.size(), 1U);
  EXPECT_EQ(config.sinks[0].headers, (Lines{"A: b", "C: d, e"}));
  EXPECT_EQ(config.sinks[0].streams, Lines{"web.*"});
}

TEST_F(ConfigTest, what_a_sink_cannot_work_with_is_a_mistake) {
  write(R"([sinks.a]
bucket = "x"
replica = true
streams = ["Web"]
compression = "lz4"
[sinks.b]
type = "s3"
sse = "AES265"
kms_key = "k"
[sinks.c]
type = "kafka"
brokers = "127.0.0.1:1"
topic = "t.{strem}"
properties = ["x"]
[sinks.d]
type = "http"
url = "ftp://x"
headers = ["x", 1]
bearer = "s"
user = "u"
[streams.s]
ack = "replicated"
)");
  EXPECT_EQ(
      mistakes(),
      (Lines{
          "inlet.toml:2:10: sinks.a.bucket is not a key of type file, but of s3",
          "inlet.toml:3:11: sinks.a.replica: a file is on this node: it cannot make a record "
          "safe beyond it",
          "inlet.toml:4:11: sinks.a.streams: \"Web\" is not a pattern: a stream's name, in which "
          "'*' stands for any characters",
          "inlet.toml:5:15: sinks.a.compression: only a sink of type kafka has snappy and lz4",
          "inlet.toml:8:7: sinks.b.sse: \"AES265\" is not \"AES256\", \"aws:kms\" or "
          "\"aws:kms:dsse\"; did you mean AES256?",
          "inlet.toml:9:11: sinks.b.kms_key: needs sse = \"aws:kms\"",
          "inlet.toml:13:9: sinks.c.topic: \"t.{strem}\": only {tenant} and {stream} can be "
          "filled in",
          "inlet.toml:14:14: sinks.c.properties: every property is written \"NAME=VALUE\"",
          "inlet.toml:17:7: sinks.d.url: begins with neither http:// nor https://",
          "inlet.toml:18:11: sinks.d.headers takes a list of texts, such as [\"a\", \"b\"], not "
          "a list",
          "inlet.toml:19:10: sinks.d.bearer: and user cannot both be sent: there is one "
          "Authorization header",
          "inlet.toml:22:7: streams.s.ack: \"replicated\" needs sinks.a, the replica, to take "
          "this stream",
          "sinks.b.bucket: is needed by a sink of this type"}));
}

TEST_F(ConfigTest, a_tenant_has_from_limits_what_it_does_not_say_itself) {
  write(R"([limits]
requests_per_s = 100
bytes_per_s = "1MiB"
[tenants.acme]
requests_per_s = 7
[tenants.hooli]
memory_percent = 10
)");
  const Loaded loaded = load_right();
  const Config& config = loaded.config;
  ASSERT_EQ(config.tenants.size(), 2U);
  EXPECT_EQ(config.tenants[0].name, "acme");
  EXPECT_EQ(config.tenants[0].requests_per_s, 7U);
  EXPECT_EQ(config.tenants[0].bytes_per_s, 1U << 20);
  EXPECT_EQ(config.tenants[1].requests_per_s, 100U);
  EXPECT_EQ(config.tenants[1].memory_percent, 10U);
  const auto setting = [&](std::string_view key) {
    const auto found = std::ranges::find(loaded.settings, key, &Setting::key);
    return found->value + " from " + found->origin.substr(found->origin.rfind('/') + 1);
  };
  EXPECT_EQ(setting("tenants.acme.requests_per_s"), "7 from inlet.toml:5:18");
  EXPECT_EQ(setting("tenants.acme.bytes_per_s"), "1MiB from limits.bytes_per_s");
}

TEST_F(ConfigTest, what_a_tenant_or_a_page_cannot_have_is_a_mistake) {
  write(R"([tenants.Acme]
requests_per_s = 1
[tenants.acme]
max_body = "32MiB"
journal_percent = 101
[tenants.other]
requests_per_s = 1
requests_burst = 1
[streams.web]
cors_origins = ["https://app.example.com", "app.example.com", "https://a/b"]
)");
  EXPECT_EQ(mistakes(),
            (Lines{"inlet.toml:1:10: \"Acme\" is not a name: small letters, digits, '_', '.' and "
                   "'-', at most 64",
                   "inlet.toml:4:12: tenants.acme.max_body: 32MiB is above server.max_body, 16MiB",
                   "inlet.toml:5:19: tenants.acme.journal_percent: \"101\" is above 100, the "
                   "most it can be",
                   "inlet.toml:6:1: \"other\" is reserved: it stands for all tenants beyond the "
                   "most there can be",
                   "inlet.toml:10:16: streams.web.cors_origins: \"app.example.com\" is neither an "
                   "origin, as \"https://app.example.com\", nor \"*\"",
                   "inlet.toml:10:16: streams.web.cors_origins: \"https://a/b\" is neither an "
                   "origin, as \"https://app.example.com\", nor \"*\""}));
}

TEST_F(ConfigTest, a_wrong_value_is_a_mistake_even_where_another_source_overrides_it) {
  write("[log]\nlevel = \"loud\"\n");
  sources_.environment = {{"INLET_LOG_LEVEL", "warn"}};
  EXPECT_EQ(mistakes().size(), 1U);
  EXPECT_EQ(load().config.log.level, LogLevel::warn);
}

TEST_F(ConfigTest, a_sample_is_a_fraction_however_it_is_written) {
  for (const char* text : {"0.25", "\"0.25\"", "25e-2"}) {
    write("[log]\naccess_sample = " + std::string(text) + "\n");
    EXPECT_TRUE(mistakes().empty()) << text;
    EXPECT_EQ(load().config.log.access_sample, 0.25) << text;
  }
  write("[log]\naccess_sample = 1\n");
  EXPECT_EQ(load().config.log.access_sample, 1);
  for (const char* text :
       {"1.01", "-0.1", "nan", "inf", "true", "\"\"", "\"0.5x\"", "[0.5]", "{}"}) {
    write("[log]\naccess_sample = " + std::string(text) + "\n");
    EXPECT_EQ(mistakes().size(), 1U) << text;
  }
}

TEST_F(ConfigTest, nothing_in_the_environment_or_a_flag_can_be_of_the_wrong_type_unnoticed) {
  for (const Section& section : config_sections()) {
    for (const Key& key : section.keys) {
      if (key.shape == Shape::text) continue;
      sources_.flags = {{std::string(section.name) + "." + std::string(key.name), "--x", "?"}};
      if (section.named) continue;
      EXPECT_EQ(mistakes().size(), 1U) << section.name << "." << key.name;
    }
  }
}

TEST(ConfigSchema, has_a_default_that_its_own_bounds_allow_for_every_key) {
  // Loading reads every default with its bounds and CHECKs that it is right.
  PosixFileSystem files;
  Sources sources;
  sources.environment = {{"INLET_STREAMS_A_FORMAT", "raw"},
                         {"INLET_TENANTS_A_JOURNAL_PERCENT", "1"}};
  const Loaded loaded = load_config(files, sources);
  std::size_t keys = 1;  // data
  for (const Section& section : config_sections()) {
    for (const Key& key : section.keys) keys += (key.sinks & only(SinkType::file)) != 0 ? 1 : 0;
  }
  EXPECT_EQ(loaded.settings.size(), keys);
}

TEST(Address, is_written_as_it_is_read) {
  EXPECT_EQ((Address{"127.0.0.1", 80}).text(), "127.0.0.1:80");
  EXPECT_EQ((Address{"::1", 80}).text(), "[::1]:80");
  EXPECT_TRUE((Address{"127.8.0.1", 80}).is_loopback());
  EXPECT_FALSE((Address{"::", 80}).is_loopback());
}

}  // namespace
}  // namespace inlet::main
