import { labelCorners, labelLanguages, type LabelCorner, type LabelLanguage } from '../contract/vocabulary.ts';
import { aigcProducer } from '../contract/lipsync-request.ts';
import { oneOf, text, type Settings, type SettingValues } from '../contract/setting-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { resolveSettingPath } from './settings.ts';

function isProducer(value: string): boolean {
  return value === '' || aigcProducer.safeParse(value).success;
}

/** The client that requests stamps refuses any other URL. */
function isStampUrl(value: string): boolean {
  const url = /^https?:\/\//.test(value) ? URL.parse(value) : null;
  return value === '' || (url !== null && url.username === '' && url.password === '');
}

/** The settings of the marks of outputs. */
export const markingSettings = {
  LIPSYNC_MARKING: oneOf(['on', 'off', 'required'], 'on'),
  LIPSYNC_MARKING_XMP: oneOf(['on', 'off'], 'on'),
  LIPSYNC_VISIBLE_LABEL: oneOf<LabelLanguage | 'off'>(['off', ...labelLanguages], 'off'),
  LIPSYNC_LABEL_CORNER: oneOf(labelCorners, 'top_left'),
  LIPSYNC_AIGC_PRODUCER: text('').refine(isProducer, 'must be up to 100 visible characters'),
  LIPSYNC_TIMESTAMP_URL: text('').refine(isStampUrl, 'must be an http or https URL without user name'),
  LIPSYNC_MARKING_KEY_PATH: text(''),
  LIPSYNC_MARKING_CERTIFICATE_PATH: text(''),
} satisfies Settings;

export interface MarkingConfig {
  /** Whether outputs carry a signed manifest of their origin. */
  readonly isEnabled: boolean;
  /** Whether a job fails whose output cannot be marked. */
  readonly isRequired: boolean;
  /** Whether marked outputs state their source type as XMP, too. */
  readonly withXmp: boolean;
  /** The visible label of outputs, with or without marks; no language for none. */
  readonly label: { readonly language: LabelLanguage | null; readonly corner: LabelCorner };
  /** Producer that the label of GB 45438-2025 states in each output; null for none. */
  readonly aigcProducer: string | null;
  /** URL of the authority that stamps signatures with the time; null for none. */
  readonly timeStampUrl: string | null;
  /** Absolute paths of the operator's own signing key and certificate chain; null for the local authority. */
  readonly certificate: { readonly keyPath: string; readonly certificatePath: string } | null;
}

/** Throws `request_invalid` for a key without a certificate, or the reverse. */
export function toMarking(values: SettingValues<typeof markingSettings>): MarkingConfig {
  return Object.freeze({
    isEnabled: values.LIPSYNC_MARKING !== 'off',
    isRequired: values.LIPSYNC_MARKING === 'required',
    withXmp: values.LIPSYNC_MARKING_XMP === 'on',
    timeStampUrl: values.LIPSYNC_TIMESTAMP_URL === '' ? null : values.LIPSYNC_TIMESTAMP_URL,
    aigcProducer: values.LIPSYNC_AIGC_PRODUCER === '' ? null : values.LIPSYNC_AIGC_PRODUCER,
    label: Object.freeze({
      language: values.LIPSYNC_VISIBLE_LABEL === 'off' ? null : values.LIPSYNC_VISIBLE_LABEL,
      corner: values.LIPSYNC_LABEL_CORNER,
    }),
    certificate: toCertificateFiles(values),
  });
}

function toCertificateFiles(values: SettingValues<typeof markingSettings>): MarkingConfig['certificate'] {
  const { LIPSYNC_MARKING_KEY_PATH: key, LIPSYNC_MARKING_CERTIFICATE_PATH: certificate } = values;
  if ((key === '') !== (certificate === ''))
    throw new LipsyncError(
      'request_invalid',
      'LIPSYNC_MARKING_KEY_PATH and LIPSYNC_MARKING_CERTIFICATE_PATH belong together: set both or neither.',
    );
  return key === '' ? null : { keyPath: resolveSettingPath(key), certificatePath: resolveSettingPath(certificate) };
}
