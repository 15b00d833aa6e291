/** The error for what did not arrive, and may the next time. */
import { type ErrorDetails, PentimentoError } from '../core/errors.ts';

/** A transfer that broke, or that a server could not do now: worth trying again. What is refused for good is an InputError. */
export class TransferError extends PentimentoError {
  /** As in stack traces. */
  override readonly name = 'TransferError';
  constructor(details: ErrorDetails) {
    super('transfer', details);
  }
}
