// Goal: log files sort by when they were written, and no other file is ever taken for one.
// Method: names there and back, names one change away from right, and times that mix processes.

#include "logs/file_name.h"

#include <gtest/gtest.h>

namespace inlet::logs {
namespace {

constexpr Microseconds some_time = 1'795'470'900'123'456;

TEST(FileName, says_process_and_time) {
  EXPECT_EQ((RotatedLog{"serve", some_time}.name()), "serve-20261123T215500.123456Z.log");
  EXPECT_EQ((RotatedLog{"run", 0}.name()), "run-19700101T000000.000000Z.log");
  EXPECT_EQ(open_log_name("ship-archive"), "ship-archive.log");
  EXPECT_EQ(day_path(some_time), "2026/11/23");
}

TEST(FileName, is_read_back) {
  for (const char* process : {"serve", "ship-a", "ship-a.b_c-1", "access", "0"}) {
    for (const Microseconds at : {Microseconds{0}, some_time, Microseconds{951'782'399'999'999},
                                  Microseconds{253'402'300'799'999'999}}) {
      const RotatedLog log{process, at};
      EXPECT_EQ(parse_rotated_log(log.name()), log) << log.name();
      EXPECT_FALSE(parse_open_log(log.name())) << log.name();
    }
    EXPECT_EQ(parse_open_log(open_log_name(process)), process);
    EXPECT_FALSE(parse_rotated_log(open_log_name(process)));
  }
}

TEST(FileName, of_other_files_is_not_taken_for_a_log) {
  for (const char* name :
       {"", "serve", "serve.lock", ".serve-20261123T215500.123456Z.log.tmp",
        "serve-20261123T215500.123456Z.log.gz", "serve-20261123T215500.123456Z",
        "-20261123T215500.123456Z.log", "serve20261123T215500.123456Z.log",
        "serve-20261323T215500.123456Z.log", "serve-20260230T215500.123456Z.log",
        "serve-20261123T245500.123456Z.log", "serve-20261123T216000.123456Z.log",
        "serve-20261123T215560.123456Z.log", "serve-20261123t215500.123456z.log",
        "serve-20261123T215500.12345Z.log", "serve-20261123T215500,123456Z.log",
        "../serve-20261123T215500.123456Z.log", "Serve-20261123T215500.123456Z.log"}) {
    EXPECT_FALSE(parse_rotated_log(name)) << name;
  }
  for (const char* name : {"", ".log", "-x.log", ".x.log", "a/b.log", "A.log", "serve.log.gz"}) {
    EXPECT_FALSE(parse_open_log(name)) << name;
  }
  EXPECT_TRUE(is_process_name(std::string(process_name_bytes_max, 'a')));
  EXPECT_FALSE(is_process_name(std::string(process_name_bytes_max + 1, 'a')));
}

TEST(FileName, puts_logs_of_all_processes_in_the_order_of_time) {
  const std::vector<std::string> names = {"access-20261123T215503.000000Z.log",
                                          "run-20261123T215501.000000Z.log",
                                          "serve-20261123T215502.000000Z.log",
                                          "serve.log",
                                          "ship-a-20251123T000000.000000Z.log",
                                          "ship-a-20261123T215502.000000Z.log",
                                          "stranger"};
  std::vector<std::string> found;
  for (const RotatedLog& log : rotated_logs(names)) found.push_back(log.name());
  EXPECT_EQ(found, (std::vector<std::string>{names[4], names[1], names[2], names[5], names[0]}));
}

}  // namespace
}  // namespace inlet::logs
