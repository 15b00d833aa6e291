/** What every model of this library shows of the device that it runs on: one face, whatever the model does. */
import type { Gpu } from '../../gpu/device.ts';

/** The part of a DeviceModel that everybody may see. */
interface DeviceFace {
  readonly gpu: Gpu;
  readonly memory: { readonly dtype: 'float32' | 'float16'; readonly bytes: number; readonly peak: number };
  readonly hostBytes: number;
  enableModelCpuOffload(): void;
  unload(): void;
  dispose(): void;
}

/** A model read by `fromPretrained`. One call at a time; several models may share a device. */
export abstract class PretrainedModel {
  /** The device that it runs on. */
  readonly gpu: Gpu;
  /** Of activations, and, for float16, of weights. */
  readonly dtype: 'float32' | 'float16';
  readonly #device: DeviceFace;

  protected constructor(device: DeviceFace) {
    this.gpu = device.gpu;
    this.dtype = device.memory.dtype;
    this.#device = device;
  }

  /** Device bytes held now: weights, plans, tensors. */
  get bytes(): number {
    return this.#device.memory.bytes;
  }

  /** Bytes of weights that the host holds now: copies for `hostMemory`, and what is read into while weights stream. */
  get hostBytes(): number {
    return this.#device.hostBytes;
  }

  /** The most device bytes that were ever held at once. */
  get peakBytes(): number {
    return this.#device.memory.peak;
  }

  /**
   * Keeps one network on the device at a time, for the length of its work; weights stream from their files again.
   * @throws DeviceError while a call is running, and for a disposed model
   */
  enableModelCpuOffload(): void {
    this.#device.enableModelCpuOffload();
  }

  /**
   * Takes everything off the device; the next call loads it again.
   * @throws DeviceError while a call is running
   */
  unload(): void {
    this.#device.unload();
  }

  /** Frees everything on the device and closes the files. A call that runs ends with an error. */
  dispose(): void {
    this.#device.dispose();
  }
}
