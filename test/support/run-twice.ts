import type { Gpu } from '../../src/gpu/device.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type Counts, countDevice } from './counting.ts';
import type { force } from './rows.ts';

/** How a recording is compiled. */
export interface Compiling {
  /** Device of the plan; default that of the tensors. */
  readonly on?: Gpu | undefined;
  readonly dtype?: 'float32' | 'float16' | undefined;
  readonly fuse?: boolean | undefined;
  readonly tuning?: ReturnType<typeof force>;
}

/** What a plan made, by which kernels, in how much memory, and what its second run created. */
export interface Ran {
  readonly result: Float32Array;
  readonly kernels: readonly string[];
  readonly peakBytes: number;
  readonly counts: Counts;
}

/** Records what is made of values, and runs it twice. */
export async function runTwice(
  gpu: Gpu,
  values: Float32Array,
  shape: readonly number[],
  record: (x: Tensor) => Tensor,
  { on = gpu, dtype = 'float32', fuse = true, tuning }: Compiling = {},
): Promise<Ran> {
  const x = DeviceTensor.from(gpu, values, shape);
  const graph = new Graph(on, { dtype });
  const y = record(graph.input(x));
  const out = DeviceTensor.create(gpu, y.shape, y.dtype);
  graph.store(y, out);
  const plan = await graph.compile({ fuse, tuning });
  plan.run();
  const counter = countDevice(gpu);
  plan.run();
  const counts = counter.take();
  counter.stop();
  const result = await out.read();
  const kernels = (await plan.profile()).map(({ label }) => label);
  const { peakBytes } = plan;
  for (const owned of [plan, out, x]) owned.dispose();
  return { result, kernels, peakBytes, counts };
}
