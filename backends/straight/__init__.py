"""What backends share whose programs are a straight line of an array library's calls: names, lines, the text, Programs and Instances."""
