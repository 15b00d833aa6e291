/** How long passes take by the device's own clock. */
import { DeviceError } from '../core/errors.ts';
import { createStaging, readThrough } from './buffer.ts';
import type { Gpu } from './device.ts';
import { USAGE } from './flags.ts';
import { destroyBuffer } from './held-memory.ts';
import type { WebGpuBuffer, WebGpuComputePass } from './webgpu-types.ts';

/** A pass and its two ends. */
const STAMPS = 2;
/** Bytes of one stamp, nanoseconds in 64 bits. */
const STAMP_BYTES = 8;
/** As a resolved query set wants them. */
const RESOLVED_BYTES = 256;

/** Encodes one compute pass, submits it and waits for its end. */
export async function runPass(gpu: Gpu, encode: (pass: WebGpuComputePass) => void): Promise<void> {
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encode(pass);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  await gpu.idle();
}

/** Two timestamps and the memory that they are read from. */
export class PassTimer {
  readonly #gpu: Gpu;
  readonly #stamps: GPUQuerySet;
  readonly #resolved: WebGpuBuffer;
  readonly #staging: WebGpuBuffer;

  /** @throws DeviceError for a device that cannot time its work */
  constructor(gpu: Gpu) {
    if (!gpu.caps.timestamps) {
      throw new DeviceError({
        op: 'PassTimer',
        problem: 'the device cannot time its own work',
        expected: 'the feature timestamp-query',
        fix: "Measure by another clock, such as 'clock'.",
      });
    }
    this.#gpu = gpu;
    this.#stamps = gpu.device.createQuerySet({ type: 'timestamp', count: STAMPS });
    const usage = USAGE.QUERY_RESOLVE | USAGE.COPY_SRC;
    this.#resolved = gpu.memory.create({ label: 'timestamps', size: RESOLVED_BYTES, usage });
    this.#staging = createStaging(gpu, STAMPS * STAMP_BYTES);
  }

  /** Encodes one compute pass, submits it and waits for its end. @returns nanoseconds from its beginning to its end; 0 where the clock is coarse */
  async time(encode: (pass: WebGpuComputePass) => void): Promise<number> {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const timestampWrites = { querySet: this.#stamps, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    const pass = encoder.beginComputePass({ timestampWrites });
    encode(pass);
    pass.end();
    encoder.resolveQuerySet(this.#stamps, 0, STAMPS, this.#resolved, 0);
    device.queue.submit([encoder.finish()]);
    await this.#gpu.idle();
    const slice = { buffer: this.#resolved, offset: 0, size: STAMPS * STAMP_BYTES };
    const [begin = 0n, end = 0n] = new BigUint64Array(await readThrough(this.#gpu, slice, this.#staging));
    return Number(end - begin);
  }

  /** Frees all. */
  dispose(): void {
    this.#stamps.destroy();
    destroyBuffer(this.#resolved);
    destroyBuffer(this.#staging);
  }
}
