/** What the page's worker runs: the library's own answers, and the measuring of kernels. */
import type { PortLike } from '../../../src/worker/peer.ts';
import { serveModels } from '../../../src/worker/serve.ts';
import type { KernelRequest } from '../../shared/kernel-messages.ts';

serveModels(globalThis as unknown as PortLike);

// What measures is loaded when it is asked for.
addEventListener('message', ({ data }: MessageEvent<Partial<KernelRequest> | undefined>) => {
  const { kernels, without = [], only, port } = data ?? {};
  if (kernels !== 'measure' || !port) return;
  import('../../shared/kernel-bench.ts').then(
    ({ measureKernels }) => measureKernels({ without, only, port }),
    (error: unknown) => port.postMessage({ error: String(error) }),
  );
});
