/** The error for memory that ran out, with the numbers. */
import { DeviceError, type ErrorJson, type MemoryShortage } from '../core/errors.ts';
import { inMB } from '../core/megabytes.ts';

/** What helps, in the order of what costs least. */
const FIX =
  'Use dtype float16, enableModelCpuOffload, enableVaeSlicing, fewer images at a time, or a smaller picture. Give maxBytes, and the model saves memory of itself.';

/** The device, or the machine under a device in software, has no memory for a buffer. Nothing was made of it. */
export class OutOfMemoryError extends DeviceError {
  /** As in stack traces; `code` is 'device', as of every DeviceError. */
  override readonly name = 'OutOfMemoryError';
  /** Bytes asked for, held and available. */
  readonly bytes: MemoryShortage;

  /**
   * @param op what asked
   * @param what it was for: the labels of the buffers
   * @param bytes the numbers
   * @param cause the device's own words, or error
   */
  constructor(op: string, what: string, bytes: MemoryShortage, cause?: unknown) {
    const { asked, held, available } = bytes;
    super({
      op,
      problem: available === undefined ? 'the device is out of memory' : 'the machine has too little memory left',
      expected: available === undefined ? undefined : `at most ${available} bytes (${inMB(available)})`,
      received: `${asked} bytes (${inMB(asked)}) for ${what}, beside ${held} (${inMB(held)}) that are held`,
      fix: FIX,
      ...(cause === undefined ? {} : { cause }),
    });
    this.bytes = bytes;
  }

  /** With `bytes`. */
  override toJSON(): ErrorJson {
    const { asked, held, available } = this.bytes;
    return { ...super.toJSON(), bytes: { asked, held, ...(available === undefined ? {} : { available }) } };
  }
}
