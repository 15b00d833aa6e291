/** What the page is doing, in words and as a bar. */
import type { Phase, ProgressEvent } from 'pentimento';
import { box, element } from './elements.ts';

const WORDS: Record<Phase, string> = {
  load: 'Loading weights',
  compile: 'Preparing the graphics card',
  text: 'Reading the words',
  encode: 'Looking at the picture',
  mask: 'Finding the mask',
  invert: 'Turning the picture into noise',
  edit: 'Painting',
  decode: 'Making pixels',
};

/** Bar, detail, and the region that screen readers speak. */
export class Progress {
  readonly #bar = element('progress', HTMLProgressElement);
  #phase: string | undefined;

  /** Something begins whose length is not known. */
  begin(text: string): void {
    box('problem').textContent = '';
    this.#phase = undefined;
    this.#bar.hidden = false;
    this.#bar.removeAttribute('value');
    this.say(text);
  }

  /** A piece of work is done. */
  step({ phase, step, of, ms }: ProgressEvent): void {
    this.#bar.hidden = false;
    this.#bar.max = of || 1;
    this.#bar.value = step;
    // Phases alone are spoken: steps would talk without an end.
    if (phase !== this.#phase) this.say(`${WORDS[phase]}…`);
    this.#phase = phase;
    const done = phase === 'load' ? `${megabytes(step)} of ${megabytes(of)} MB` : `step ${step} of ${of}`;
    const left =
      step > 0 && ms > 2000 && step < of ? `, about ${Math.ceil((ms * (of - step)) / step / 1000)} s left` : '';
    box('detail').textContent = `${done}${left}`;
  }

  /** It has ended well. */
  end(text: string): void {
    this.#bar.hidden = true;
    box('detail').textContent = '';
    box('problem').textContent = '';
    this.say(text);
  }

  /** It has failed. */
  fail(error: unknown): void {
    this.end('');
    box('problem').textContent = error instanceof Error ? error.message : String(error);
  }

  /** Speaks. */
  say(text: string): void {
    box('status').textContent = text;
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
