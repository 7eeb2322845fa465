"""Files and batches of OpenAI's API: check the lines, have them sent, gather what came of them."""
