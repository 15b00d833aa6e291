/** What the page's worker runs: the library's own answers, and the measuring of kernels. */
import type { PortLike } from '../../../src/worker/peer.ts';
import { serveModels } from '../../../src/worker/serve.ts';

/** What the page asks beside the library's messages. */
export interface BenchmarkRequest {
  readonly studio: 'benchmark';
  /** Where rows go, and where the word to stop comes from. */
  readonly port: MessagePort;
}

serveModels(globalThis as unknown as PortLike);

addEventListener('message', ({ data }: MessageEvent<Partial<BenchmarkRequest> | undefined>) => {
  const { port } = data ?? {};
  if (data?.studio !== 'benchmark' || !port) return;
  import('./benchmark.ts').then(
    ({ benchmark }) => benchmark(port),
    (error: unknown) => port.postMessage({ error: String(error) }),
  );
});
