#include "top/screen.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

// Macros of ncurses are ordinary words, so it comes last and without them.
#define NCURSES_NOMACROS 1
#include <curses.h>

namespace inlet::top {
namespace {

constexpr int escape_delay_ms = 25;  // Esc alone, or the beginning of another key.
constexpr int key_escape = 27;
constexpr int key_return = '\r';
constexpr int key_newline = '\n';
constexpr int key_ctrl_l = 12;

struct Look {
  short colour;  // -1: the terminal's own.
  attr_t attributes;
};
// By Style.
constexpr std::array<Look, styles> looks = {{{-1, A_NORMAL},
                                             {-1, A_DIM},
                                             {-1, A_BOLD},
                                             {-1, A_UNDERLINE | A_BOLD},
                                             {COLOR_GREEN, A_NORMAL},
                                             {COLOR_CYAN, A_NORMAL},
                                             {COLOR_YELLOW, A_NORMAL},
                                             {COLOR_RED, A_NORMAL},
                                             {COLOR_RED, A_BOLD},
                                             {COLOR_RED, A_BOLD | A_REVERSE},
                                             {-1, A_BOLD | A_REVERSE}}};

Key key_of(int code) {
  switch (code) {
    case KEY_UP:
    case 'k': return Key::up;
    case KEY_DOWN:
    case 'j': return Key::down;
    case KEY_PPAGE: return Key::page_up;
    case KEY_NPAGE:
    case ' ': return Key::page_down;
    case KEY_HOME:
    case 'g': return Key::home;
    case KEY_END:
    case 'G': return Key::end;
    case KEY_ENTER:
    case KEY_RIGHT:
    case key_return:
    case key_newline:
    case 'l': return Key::enter;
    case KEY_BACKSPACE:
    case KEY_LEFT:
    case key_escape:
    case 'h': return Key::back;
    case 's': return Key::next_sort;
    case 'S': return Key::previous_sort;
    case 'r': return Key::reverse;
    case '\t': return Key::next_focus;
    case 'w': return Key::window;
    case 'p': return Key::pause;
    case 'q': return Key::quit;
    default: return Key::none;
  }
}

bool wants_colour() {
  const char* const no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && ::has_colors();
}

}  // namespace

struct Screen::Terminal {
  explicit Terminal(SCREEN* s) : screen(s) {}
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    ::endwin();
    ::delscreen(screen);
  }

  SCREEN* const screen;
  bool coloured = false;
};

Result<std::unique_ptr<Screen>> Screen::open() {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) {
    return fail(ErrorKind::reject, "this is no terminal: say --once or --json");
  }
  SCREEN* const screen = ::newterm(nullptr, stdout, stdin);
  if (screen == nullptr) {
    return fail(ErrorKind::reject,
                "nothing is known about this kind of terminal (TERM): say --once or --json");
  }
  auto terminal = std::make_unique<Terminal>(screen);
  ::set_term(screen);
  ::cbreak();
  ::noecho();
  ::nonl();
  ::curs_set(0);
  ::set_escdelay(escape_delay_ms);
  ::keypad(stdscr, TRUE);
  terminal->coloured = wants_colour() && ::start_color() == OK;
  if (terminal->coloured) {
    ::use_default_colors();
    for (std::size_t i = 0; i < looks.size(); i++) {
      ::init_pair(static_cast<short>(i + 1), looks[i].colour, -1);
    }
  }
  return std::unique_ptr<Screen>(new Screen(std::move(terminal)));
}

Screen::Screen(std::unique_ptr<Terminal> terminal) : terminal_(std::move(terminal)) {}
Screen::~Screen() = default;

Size Screen::size() const {
  const int rows = ::getmaxy(stdscr);
  const int columns = ::getmaxx(stdscr);
  return {.rows = rows > 0 ? static_cast<std::size_t>(rows) : 1,
          .columns = columns > 0 ? static_cast<std::size_t>(columns) : 1};
}

void Screen::draw_line(int row, const Line& line) {
  ::wmove(stdscr, row, 0);
  for (const Span& span : line.spans) {
    const auto style = static_cast<std::size_t>(span.style);
    const attr_t selected = line.selected ? A_REVERSE : A_NORMAL;
    const short pair = terminal_->coloured ? static_cast<short>(style + 1) : short{0};
    // Of a silent node in a selected line the turning round is not to cancel out.
    ::wattr_set(stdscr, looks[style].attributes | selected, pair, nullptr);
    ::waddnstr(stdscr, span.text.data(), static_cast<int>(span.text.size()));
  }
  ::wattr_set(stdscr, line.selected ? A_REVERSE : A_NORMAL, 0, nullptr);
  ::wclrtoeol(stdscr);
}

void Screen::show(const Page& page) {
  ::werase(stdscr);
  for (std::size_t row = 0; row < page.size(); row++) {
    draw_line(static_cast<int>(row), page[row]);
  }
  ::wrefresh(stdscr);
}

Key Screen::read_key(Microseconds wait_us) {
  ::wtimeout(stdscr, static_cast<int>(wait_us / 1000));
  const int code = ::wgetch(stdscr);
  if (code == ERR) {
    pollfd terminal{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::poll(&terminal, 1, 0) > 0 && (terminal.revents & (POLLHUP | POLLERR)) != 0) lost_ = true;
    return Key::none;
  }
  if (code == key_ctrl_l) ::clearok(stdscr, TRUE);
  return key_of(code);
}

}  // namespace inlet::top
