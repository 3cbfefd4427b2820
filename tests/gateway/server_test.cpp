// The HTTP server against raw sockets: what a well-behaved client relies on.
#include "tests/gateway/server_rig.h"

namespace weir::gateway {
namespace {

using testing::RawSocket;

Task<void> echo(const Request& request, Exchange& exchange) {
  ResponseHead head;
  head.add("content-type", "text/plain");
  std::string body = std::string(request.method) + " " + std::string(request.path) + " " + std::string(request.query) +
                     "|" + std::string(request.body) + "|" + std::string(request.header("x-test"));
  co_await exchange.respond(head, body);
}

std::string body_of(const std::string& message) {
  return message.substr(message.find("\r\n\r\n") + 4);
}

TEST(Server, AnswersAndKeepsTheConnection) {
  ServerRig rig(echo);
  auto client = rig.connect();
  for (int i = 0; i < 3; ++i) {
    client.send("POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-TEST:  v \r\nContent-Length: 5\r\n\r\nhello");
    const std::string answer = client.read_message();
    EXPECT_EQ(answer.substr(0, 17), "HTTP/1.1 200 OK\r\n");
    EXPECT_EQ(body_of(answer), "POST /a/b c=d|hello|v");
  }
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  ServerRig rig(echo);
  auto client = rig.connect();
  std::string all;
  for (int i = 0; i < 50; ++i) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(all);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(body_of(client.read_message()), "GET /" + std::to_string(i) + " ||");
}

}  // namespace
}  // namespace weir::gateway
