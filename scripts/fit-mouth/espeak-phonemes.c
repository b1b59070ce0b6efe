/*
 * Speaks the text of stdin; writes the sound and the times of its phonemes.
 *
 *   espeak-phonemes VOICE WORDS_PER_MINUTE PITCH SOUND_FILE PHONEME_FILE < text
 *
 * SOUND_FILE receives raw 16-bit mono samples; PHONEME_FILE one line per event, "milliseconds<TAB>phoneme in IPA"
 * (empty for a pause or the end), preceded by a line with the sample rate.
 */
#include <espeak-ng/speak_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *sound_file;
static FILE *phoneme_file;

static int receive(short *samples, int count, espeak_EVENT *events) {
  for (; events->type != espeakEVENT_LIST_TERMINATED; events++) {
    if (events->type != espeakEVENT_PHONEME) continue;
    char name[sizeof events->id.string + 1] = {0};
    memcpy(name, events->id.string, sizeof events->id.string);
    fprintf(phoneme_file, "%d\t%s\n", events->audio_position, name);
  }
  if (samples != NULL && count > 0) fwrite(samples, sizeof(short), (size_t)count, sound_file);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: espeak-phonemes VOICE WORDS_PER_MINUTE PITCH SOUND_FILE PHONEME_FILE < text\n");
    return 2;
  }
  static char text[8192];
  size_t length = fread(text, 1, sizeof text - 1, stdin);
  text[length] = 0;

  int options = espeakINITIALIZE_PHONEME_EVENTS | espeakINITIALIZE_PHONEME_IPA | espeakINITIALIZE_DONT_EXIT;
  int rate = espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, NULL, options);
  if (rate <= 0) {
    fprintf(stderr, "espeak-ng does not start. Check that its data is installed.\n");
    return 1;
  }
  if (espeak_SetVoiceByName(argv[1]) != EE_OK) {
    fprintf(stderr, "espeak-ng has no voice %s\n", argv[1]);
    return 1;
  }
  espeak_SetParameter(espeakRATE, atoi(argv[2]), 0);
  espeak_SetParameter(espeakPITCH, atoi(argv[3]), 0);
  sound_file = fopen(argv[4], "wb");
  phoneme_file = fopen(argv[5], "w");
  if (sound_file == NULL || phoneme_file == NULL) {
    perror("cannot write");
    return 1;
  }
  fprintf(phoneme_file, "%d\n", rate);
  espeak_SetSynthCallback(receive);
  espeak_Synth(text, length + 1, 0, POS_CHARACTER, 0, espeakCHARS_UTF8, NULL, NULL);
  espeak_Synchronize();
  int failed = fclose(sound_file) != 0 || fclose(phoneme_file) != 0;
  espeak_Terminate();
  return failed ? 1 : 0;
}
