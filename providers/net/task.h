// The coroutine type of everything that does I/O. Bound to io_context's own executor type, so that no operation pays
// for a type-erased executor. A Task lives and dies on the core (io_context) it was started on.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace weir::providers {

using Executor = boost::asio::io_context::executor_type;

template <class T>
using Task = boost::asio::awaitable<T, Executor>;

}  // namespace weir::providers
