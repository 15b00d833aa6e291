/** The form of the settings: the number of steps in view, behind "more" what the model recommends, and then all others. */
import type { Recommended } from 'pentimento';
import { box, make } from '../../shared/elements.ts';
import { checked, type SettingValue } from './settings-file.ts';
import { SETTINGS, type Setting } from './settings-table.ts';

/** Always in view. */
const FIRST = 'numInferenceSteps';

/** The form. Fields that are left empty are diffusers' defaults. */
export class SettingsForm {
  readonly #fields = new Map<string, HTMLInputElement | HTMLSelectElement>();
  #recommended: Recommended | undefined;

  /** Makes the fields anew for a model. Its recommended settings are taken. @param keep takes what was written instead, right or wrong */
  model(recommended: Recommended | undefined, keep = false): void {
    const written = [...this.#fields].map(([name, { value }]) => [name, value] as const);
    this.#recommended = recommended;
    this.#fields.clear();
    const placeOf = ({ name }: Setting): string => {
      if (name === FIRST) return 'settings';
      return recommended && name in recommended.settings ? 'recommended-settings' : 'more-settings';
    };
    for (const place of ['settings', 'recommended-settings', 'more-settings']) {
      const own = SETTINGS.filter(one => placeOf(one) === place);
      box(place).replaceChildren(...own.map(one => this.#row(one)));
    }
    box('recommended-box').hidden = !recommended;
    box('others-title').hidden = !recommended;
    this.recommend();
    for (const [name, text] of keep ? written : []) {
      const field = this.#fields.get(name);
      if (field) field.value = text;
    }
  }

  /** What the model recommends; nothing but that. */
  recommend(): void {
    this.values = (this.#recommended?.settings ?? {}) as Record<string, SettingValue>;
  }

  /** By their names in `run`. @throws Error for what a field cannot be */
  get values(): Record<string, SettingValue> {
    const given = SETTINGS.flatMap(setting => {
      const text = this.#fields.get(setting.name)?.value.trim() ?? '';
      return text === '' ? [] : [[setting.name, checked(setting, parsed(setting, text))] as const];
    });
    return Object.fromEntries(given);
  }

  set values(values: Readonly<Record<string, SettingValue>>) {
    for (const [name, field] of this.#fields) {
      const value = values[name];
      field.value = value === undefined ? '' : Array.isArray(value) ? value.join(', ') : String(value);
    }
  }

  /** The negative prompt where nobody wrote one; undefined for the source prompt. */
  get negativePrompt(): string | undefined {
    return this.#recommended?.settings.negativePrompt;
  }

  #row(setting: Setting): HTMLElement {
    const { name, usual, help } = setting;
    const id = `setting-${name}`;
    const field = fieldOf(setting);
    field.id = id;
    field.setAttribute('aria-describedby', `${id}-note`);
    this.#fields.set(name, field);
    const why = this.#recommended?.reasons[name];
    const note = make('p', { id: `${id}-note`, className: 'note' }, why ?? `${help} diffusers: ${usual}.`);
    return make('div', { className: 'setting' }, make('label', { htmlFor: id }, name), field, note);
  }
}

function fieldOf(setting: Setting): HTMLInputElement | HTMLSelectElement {
  const { usual } = setting;
  if (setting.kind === 'number') {
    const { min, max, step } = setting;
    const limits = { min: String(min), ...(max === undefined ? {} : { max: String(max) }), step: String(step) };
    return make('input', { type: 'number', placeholder: usual, ...limits });
  }
  if (setting.kind === 'pair') return make('input', { placeholder: usual });
  const choices = setting.kind === 'switch' ? ['true', 'false'] : setting.choices;
  const texts = { true: 'on', false: 'off' } as Record<string, string>;
  const options = choices.map(value => make('option', { value }, texts[value] ?? value));
  return make('select', {}, make('option', { value: '' }, 'default'), ...options);
}

function parsed({ kind }: Setting, text: string): unknown {
  if (kind === 'number') return Number(text);
  if (kind === 'switch') return text === 'true';
  return kind === 'pair' ? text.split(',').map(Number) : text;
}
