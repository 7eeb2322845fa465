"""What can be bought for a need, what a month of it costs, and the quota that it takes."""
