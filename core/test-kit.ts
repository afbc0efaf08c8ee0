/** What the package gives to tests, as `signalbox/test`. */

export {
  type RouteSource,
  type RouteUnderTest,
  type TestRouteOptions,
  testRoute,
} from './route/test-kit.ts'
export {
  type FakeService,
  fakeConnection,
  type ServiceUnderTest,
  type TestCall,
  TestClock,
  type TestInvokeOptions,
  type TestLogLine,
  type TestMessage,
  type TestMessageKept,
  type TestReply,
  type TestServiceOptions,
  testService,
} from './service/test-kit.ts'
