/** The tries of this session. */
import type { GreyImage, RgbImage } from 'pentimento';
import { box, make } from './elements.ts';
import { draw } from './pixels.ts';
import type { Asked } from './settings-file.ts';

/** One edit: what was asked and what came out. */
export interface Try {
  readonly asked: Asked;
  readonly model: string;
  readonly picture: RgbImage;
  readonly photo: RgbImage;
  /** In the size that the model worked at. */
  readonly mask: GreyImage;
  readonly seconds: number;
}

/** The list; the chosen one is shown and downloaded. */
export class Tries {
  readonly #show: (chosen: Try) => void;
  readonly #buttons: HTMLButtonElement[] = [];
  chosen: Try | undefined;

  constructor(show: (chosen: Try) => void) {
    this.#show = show;
  }

  /** Adds one, and chooses it. */
  add(made: Try): void {
    const picture = make('canvas');
    draw(picture, made.picture);
    const { sourcePrompt, targetPrompt, seed } = made.asked;
    const name = `${this.#buttons.length + 1}: ${sourcePrompt} to ${targetPrompt}, seed ${seed}, ${made.seconds.toFixed(0)} s`;
    const button = make('button', { type: 'button', title: name }, picture);
    button.setAttribute('aria-label', `Try ${name}`);
    button.addEventListener('click', () => {
      this.#choose(made, button);
      this.#show(made);
    });
    this.#buttons.push(button);
    box('history').append(make('li', {}, button));
    box('tries').hidden = false;
    this.#choose(made, button);
  }

  #choose(made: Try, chosen: HTMLButtonElement): void {
    this.chosen = made;
    for (const button of this.#buttons) button.setAttribute('aria-pressed', String(button === chosen));
  }
}
