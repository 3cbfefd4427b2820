#include "providers/net/signal.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace weir::providers {

Task<void> Signal::wait() {
  constexpr boost::asio::use_awaitable_t<Executor> kAwait;
  while (!std::exchange(set_, false)) co_await timer_.async_wait(boost::asio::as_tuple(kAwait));
}

}  // namespace weir::providers
