/** The error for a device that is gone: its driver was reset, the browser's GPU process ended, the card was taken out. */
import { DeviceError, type ErrorJson } from '../core/errors.ts';

/** Why a device is gone. */
export interface DeviceLoss {
  /** WebGPU's own word: 'destroyed' where somebody called `device.destroy()`, 'unknown' for all that drivers and systems do. */
  readonly reason: string;
  /** What the browser or the driver says. */
  readonly message: string;
  /** How many devices this call has lost one after another, without a step in between; 0 where none was tried again. */
  readonly losses: number;
}

/** The device is lost, and nothing on it can be read again. */
export class DeviceLostError extends DeviceError {
  /** As in stack traces; `code` is 'device', as of every DeviceError. */
  override readonly name = 'DeviceLostError';
  /** Why it is gone. */
  readonly loss: DeviceLoss;

  /**
   * @param op what noticed
   * @param loss why it is gone
   * @param more another problem than the loss alone, another remedy, and what it led to
   */
  constructor(
    op: string,
    loss: DeviceLoss,
    more: {
      /** What is wrong, without a full stop. */
      readonly problem?: string;
      /** What the caller can do. */
      readonly fix?: string;
      /** The error that led to this one. */
      readonly cause?: unknown;
    } = {},
  ) {
    super({
      op,
      problem: 'the device was lost',
      received: `${loss.reason}: ${loss.message}`,
      fix: 'Request a new device and load the models again; a driver reset or a time-out is the usual cause.',
      ...more,
    });
    this.loss = loss;
  }

  /** With `loss`. */
  override toJSON(): ErrorJson {
    return { ...super.toJSON(), loss: { ...this.loss } };
  }
}
