/** In the worker: how fast the kernels are on the visitor's device, on a device of their own, as `pentimento bench kernels` measures them. */
import { Gpu } from 'pentimento/kernels';
import { measureCeilings } from '../../bench/ceilings.ts';
import { isLarge, kernelRows } from '../../bench/kernel-rows.ts';
import { runKernels } from '../../bench/run-kernels.ts';
import { loadTexts } from '../../src/kernels/load-texts.ts';
import { KERNELS_HASH, LIBRARY_VERSION } from '../../src/tuning/built-from.ts';
import { Meter } from '../../src/tuning/meter.ts';
import type { KernelHead, KernelMessage, KernelRequest } from './kernel-messages.ts';

/** Of each row; of one that takes long, fewer. */
const [SAMPLES, ENOUGH_MS] = [9, 800];

/** What is to be measured, and how. */
type Asked = Pick<KernelRequest, 'without' | 'only'>;

/** Measures one kernel after the other until the port says stop. */
export async function measureKernels({ port, ...asked }: Asked & Pick<KernelRequest, 'port'>): Promise<void> {
  const stopped = new AbortController();
  const { signal } = stopped;
  port.onmessage = () => stopped.abort();
  const tell = (message: KernelMessage): void => port.postMessage(message);
  try {
    const gpu = await Gpu.request({ without: asked.without });
    try {
      await measureOn(gpu, asked, signal, tell);
    } finally {
      gpu.dispose();
    }
    tell({ done: true });
  } catch (error) {
    if (signal.aborted) tell({ done: true });
    else tell({ error: error instanceof Error ? error.message : String(error) });
  }
}

async function measureOn(
  gpu: Gpu,
  { without, only }: Asked,
  signal: AbortSignal,
  tell: (message: KernelMessage) => void,
): Promise<void> {
  const { caps } = gpu;
  await loadTexts(caps);
  const meter = Meter.create(gpu);
  try {
    const all = kernelRows({ caps }).filter(({ name }) => only === undefined || only.test(name));
    const small = all.filter(row => !(caps.software && isLarge(row)));
    // What was asked for by name is measured also where it takes seconds.
    const rows = small.length > 0 ? small : all;
    tell({ head: headOf(gpu, meter, without), of: rows.length });
    const ceilings = await measureCeilings(gpu, meter, { samples: 3, signal });
    tell({ ceilings });
    const options = { ceilings, samples: SAMPLES, enoughMs: ENOUGH_MS, signal };
    await runKernels(gpu, meter, rows, { ...options, onRow: row => tell({ row }) });
  } finally {
    meter.dispose();
  }
}

function headOf({ caps, device }: Gpu, { clock }: Meter, without: KernelRequest['without']): KernelHead {
  const { vendor, architecture, device: chip, description } = caps;
  return {
    ...{ version: 1, kind: 'pentimento-bench', made: new Date().toISOString() },
    ...{ library: LIBRARY_VERSION, kernels: KERNELS_HASH },
    ...{ adapter: { vendor, architecture, device: chip, description }, caps, driver: description },
    ...{ toggles: [], features: [...device.features].sort() },
    machine: { cpu: '', cores: navigator.hardwareConcurrency, runtime: navigator.userAgent },
    ...{ without, clock, tuning: null, samples: SAMPLES },
  };
}
