/** What the page's worker runs: the measuring of kernels. */
import { measureKernels } from '../../shared/kernel-bench.ts';
import type { KernelRequest } from '../../shared/kernel-messages.ts';

addEventListener('message', ({ data }: MessageEvent<KernelRequest>) => void measureKernels(data));
