/** How fast a device multiplies, for adapters that tell nothing of themselves: software is told from a card by it. */
import { USAGE } from './flags.ts';

const GROUPS = 1024;
const LANES = 64;
const LOOPS = 512;
/** Chains of sums that do not wait for each other, in each invocation. */
const CHAINS = 4;
/** So many times as much is done in the long run, whose time beyond the short one's is that of the work alone. */
const LONGER = 16;
/** What no browser waits for, whatever it does between a submission and the news of its end. */
const NO_LATENCY_MS = 50;
/**
 * Below it a device is taken for software, in operations a second. Many cores reach 50e9 through Vulkan in software; small cards of 2015
 * reach 300e9.
 */
const SLOW = 1e11;

const SOURCE = `
@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) id: vec3u) {
  var a = vec4f(f32(id.x), 1.0, 2.0, 3.0);
  let m = vec4f(0.999, 0.998, 0.997, 0.996);
  for (var i = 0; i < ${LOOPS}; i++) { a = fma(a, m, m.wzyx); }
  y[id.x % ${LANES}] = a;
}`;

/** Whether so many operations in so long are what software does; no time at all is none. */
export function isSlow(operations: number, ms: number): boolean {
  return ms > 0 && operations / (ms / 1000) < SLOW;
}

/**
 * Multiplies for some milliseconds on a card, and some tenths of a second in software.
 * @returns whether the device is as slow as software
 */
export async function isSlowDevice(device: GPUDevice): Promise<boolean> {
  const buffer = device.createBuffer({ size: 16 * LANES, usage: USAGE.STORAGE });
  const module = device.createShaderModule({ label: 'measure-speed', code: SOURCE });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const entries = [{ binding: 0, resource: { buffer } }];
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const run = async (times: number): Promise<number> => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(GROUPS);
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  const operations = 2 * CHAINS * LOOPS * LANES * GROUPS;
  try {
    await run(1); // compiles
    const short = await run(1);
    if (short > NO_LATENCY_MS) return true;
    return isSlow((LONGER - 1) * operations, (await run(LONGER)) - short);
  } finally {
    buffer.destroy();
  }
}
